"""What functions and commands put into an image while it is built."""

import os
from pathlib import Path

import modal

app = modal.App("baked")
given = modal.Volume.from_name("given-to-builds", create_if_missing=True)
TITLE = "the model"


def weights(size: int) -> bytes:
    return b"w" * size


def download(name: str, size: int = 3):
    print(f"downloading {name}", flush=True)
    Path("/models").mkdir()
    Path(f"/models/{name}").write_bytes(weights(size))
    Path("/models/title").write_text(f"{TITLE} {os.environ['TOKEN']} {os.environ['MODE']} {modal.is_local()}")
    Path("/given/from-build").write_text(name)


async def index():
    Path("/models/index").write_text(" ".join(sorted(os.listdir("/models"))))


image = (
    modal.Image.debian_slim(python_version="3.11")
    .run_function(
        download,
        args=("small",),
        kwargs={"size": 5},
        secrets=[modal.Secret.from_dict({"TOKEN": "abc"})],
        env={"MODE": "build"},
        volumes={"/given": given},
        cpu=(0.1, 2),
        memory=256,
        timeout=120,
    )
    .run_function(index)
    .run_commands("cp /given/from-build /copied", volumes={"/given": given})
)


@app.function(image=image)
def seen() -> dict:
    return {
        "model": Path("/models/small").read_bytes(),
        "title": Path("/models/title").read_text(),
        "index": Path("/models/index").read_text(),
        "copied": Path("/copied").read_text(),
        "kept": [Path(name).exists() for name in ("/given/from-build", "/root/__pycache__/baked.pyc")],
        "secret": os.environ.get("TOKEN"),
    }


@app.local_entrypoint()
def main():
    found = seen.remote()
    assert found == {
        "model": b"wwwww",
        "title": "the model abc build False",
        "index": "small title",
        "copied": "small",
        "kept": [False, False],
        "secret": None,
    }, found
    print("all as expected")
