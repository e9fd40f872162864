"""Images that are built ahead, published, and found again by name and by id."""

import asyncio
import secrets

import modal

NAME = f"tools-{secrets.token_hex(4)}"
app = modal.App("images-by-name")
base = modal.Image.debian_slim("3.11")
image = base.run_commands(f"echo {NAME}", f"echo {NAME} > /name.txt && echo written twice")


def find(version: str) -> str:
    """What a function says that runs on the published image, and on one that stands on it."""
    run = modal.App("users")
    named = modal.Image.from_name(f"{NAME}:{version}")
    further = named.run_commands("cat /name.txt /name.txt > /twice.txt")

    @run.function(image=named, serialized=True)
    def name() -> str:
        return open("/name.txt").read().strip()

    @run.function(image=further, serialized=True)
    def twice() -> str:
        return open("/twice.txt").read()

    with run.run():
        assert twice.remote() == f"{NAME}\n" * 2
        assert further.object_id != named.object_id
        assert modal.Image.from_id(named.object_id).hydrate().object_id == named.object_id
        return name.remote() + " " + named.object_id


def refused(method, kind: type[Exception]) -> None:
    try:
        method()
    except kind:
        return
    raise AssertionError("expected an error")


@app.local_entrypoint()
def main():
    refused(lambda: image.object_id, modal.exception.ExecutionError)
    refused(image.hydrate, modal.exception.ExecutionError)
    refused(lambda: image.publish(NAME), modal.exception.InvalidError)
    refused(lambda: modal.Image.from_name(NAME).hydrate(), modal.exception.NotFoundError)
    refused(lambda: modal.Image.from_name("im-tools"), modal.exception.InvalidError)

    assert image.build(app) is image
    image.publish(f"{NAME}:v1")
    assert find("v1") == f"{NAME} {image.object_id}"

    asyncio.run(base.build.aio())
    asyncio.run(base.publish.aio(f"{NAME}:v1", environment_name="main"))
    assert modal.Image.from_name(f"main/{NAME}:v1").hydrate().object_id == base.object_id

    assert [entry.message for entry in image.logs.fetch()] == ["written twice\n"]
    assert [entry.message for entry in image.logs.fetch(layers=2)] == [f"{NAME}\n", "written twice\n"]
    assert [entry.message for entry in modal.Image.from_id(image.object_id).logs.tail(1)] == [
        "written twice\n"
    ]

    failing = image.run_commands("echo all wrong; exit 3")
    refused(failing.build, modal.exception.ImageBuildError)
    assert [entry.message for entry in failing.logs.fetch()] == ["all wrong\n"]
    refused(failing.hydrate, modal.exception.ExecutionError)
    print("all as expected")
