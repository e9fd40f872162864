"""Secrets with names: made, changed, listed and deleted by a program, and had by functions and build steps."""

import os

import modal

NAMES = ("compat-secret", "compat-other")

app = modal.App("secrets-compat", image=modal.Image.debian_slim(python_version="3.11"))
first = modal.Secret.from_name("compat-secret", required_keys=["TOKEN"])
other = modal.Secret.from_name("compat-other")
built = modal.Image.debian_slim(python_version="3.11").run_commands(
    'test -n "$TOKEN"', "env | grep -c TOKEN= > /there", secrets=[first]
)


@app.function(secrets=[first, modal.Secret.from_dict({"BOTH": "dict"}), other], env={"OF_FUNCTION": "yes"})
def variables() -> dict:
    names = ("TOKEN", "BOTH", "ADDED", "OF_FUNCTION")
    return {name: os.environ[name] for name in names if name in os.environ}


@app.function(image=built)
def of_build() -> tuple:
    return open("/there").read().strip(), os.environ.get("TOKEN")


@app.function()
def inside() -> tuple:
    """What code in a container may do with secrets."""
    found = modal.Secret.from_name("compat-secret").hydrate()
    may_not = 0
    for attempt in (
        lambda: modal.Secret.objects.list(),
        lambda: modal.Secret.objects.delete("compat-secret"),
        lambda: found.update({"TOKEN": "stolen"}),
    ):
        try:
            attempt()
        except modal.exception.PermissionDeniedError:
            may_not += 1
    return found.object_id[:3], may_not


def refused(kind: type, attempt) -> None:
    try:
        attempt()
    except kind:
        return
    raise AssertionError(f"expected {kind}")


@app.local_entrypoint()
def main() -> None:
    with_options = variables.with_options(secrets=[modal.Secret.from_name("compat-other")])
    assert variables.remote() == {"TOKEN": "one", "BOTH": "other", "OF_FUNCTION": "yes"}
    assert of_build.remote() == ("1", None)
    assert with_options.remote() == {"BOTH": "other", "OF_FUNCTION": "yes"}
    assert inside.remote() == ("st-", 3)

    first.update({"ADDED": "later"})
    assert variables.with_options(cpu=0.25).remote()["ADDED"] == "later"  # another container
    info = first.info()
    assert info.name == "compat-secret"
    assert info.created_at.tzinfo is not None
    assert [each.name for each in modal.Secret.objects.list(created_before=info.created_at)] == []
    assert {each.name for each in modal.Secret.objects.list()} >= set(NAMES)
    assert len(modal.Secret.objects.list(max_objects=1)) == 1

    refused(
        modal.exception.AlreadyExistsError, lambda: modal.Secret.objects.create("compat-secret", {"A": "1"})
    )
    modal.Secret.objects.create("compat-secret", {"A": "1"}, allow_existing=True)
    lacking = modal.Secret.from_name("compat-secret", required_keys=["TOKEN", "A"])
    refused(modal.exception.NotFoundError, lambda: lacking.hydrate())
    for name in NAMES:
        modal.Secret.objects.delete(name)
    modal.Secret.objects.delete("compat-secret", allow_missing=True)
    refused(modal.exception.NotFoundError, lambda: modal.Secret.from_name("compat-secret").hydrate())
    refused(modal.exception.NotFoundError, lambda: modal.Secret.objects.delete("compat-secret"))
    print("all as expected")


if modal.is_local():
    for name in NAMES:
        modal.Secret.objects.delete(name, allow_missing=True)
    modal.Secret.objects.create("compat-secret", {"TOKEN": "one", "BOTH": "first"})
    modal.Secret.objects.create("compat-other", {"BOTH": "other"})
