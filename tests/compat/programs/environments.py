"""Environments by call, and where code runs."""

import os

import modal

app = modal.App("environments-compat", image=modal.Image.debian_slim(python_version="3.11"))


@app.function()
def here() -> tuple:
    current = modal.Environment.from_context().hydrate()
    try:
        modal.Environment.from_name("compat-other").hydrate()
        refused = False
    except modal.exception.PermissionDeniedError:
        refused = True
    return os.environ["MODAL_ENVIRONMENT"], current.name, current.object_id, refused


@app.local_entrypoint()
def main() -> None:
    try:
        modal.Environment.from_name("compat-other").hydrate()
    except modal.exception.NotFoundError:
        pass
    else:
        raise AssertionError("it is there already")
    other = modal.Environment.from_name("compat-other", create_if_missing=True)
    assert other.name == "compat-other"
    other.hydrate()
    assert other.object_id.startswith("en-")
    try:
        modal.Environment.objects.create("compat-other")
    except modal.exception.AlreadyExistsError:
        pass
    else:
        raise AssertionError("made twice")

    names = [each.name for each in modal.Environment.objects.list()]
    assert {"main", "compat-other"} <= set(names), names
    current = modal.Environment.from_context()
    current.hydrate()
    assert here.remote() == (current.name, current.name, current.object_id, True)

    modal.Environment.objects.delete("compat-other")
    modal.Environment.objects.delete("compat-other", allow_missing=True)
    for name in ("-x", "a", "en-x", "a b"):
        try:
            modal.Environment.from_name(name)
        except modal.exception.InvalidError:
            continue
        raise AssertionError(name)
    print("all as expected")
