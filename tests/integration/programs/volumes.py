"""What the methods of volumes do, from a client and in containers, as one line of JSON."""

from __future__ import annotations

import asyncio
import io
import json
import os
from pathlib import Path
from typing import Any

import modal

app = modal.App("volumes")
image = modal.Image.debian_slim(python_version="3.11")
volume = modal.Volume.from_name("volumes-data", create_if_missing=True, version=2)
MOUNT = {"/data": volume}


def error_of(act: Any) -> str:
    try:
        act()
    except Exception as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


@app.function(image=image, volumes=MOUNT)
def inside() -> dict[str, Any]:
    with open("/data/from-client/small.txt", "a") as file:
        file.write(" and here")
    os.makedirs("/data/made", exist_ok=True)
    Path("/data/made/in container").write_text("made")
    volume.reload()
    with open("/data/made/in container") as held:
        with_open_files = error_of(volume.reload)
        held.read()
    os.symlink("/etc/passwd", "/data/escape")
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"l" * (1 << 20)), "made/large")
    volume.commit()
    return {
        "small": Path("/data/from-client/small.txt").read_text(),
        "large": os.path.getsize("/data/made/large"),
        "mode": oct(os.stat("/data/from-client/run.sh").st_mode & 0o777),
        "owner": os.stat("/data/from-client").st_uid,
        "removable": error_of(lambda: os.remove("/data/from-client/run.sh")),
        "with open files": with_open_files,
        "listed": [entry.path for entry in volume.listdir("/made")],
    }


@app.function(image=image, volumes={"/data": volume.with_mount_options(read_only=True)})
def reading() -> str:
    return error_of(lambda: Path("/data/x").write_text("x"))


FORKED = {"image": image, "enable_memory_snapshot": True}


@app.function(image=image, volumes={"/data": volume.with_mount_options(sub_path="/models/small")})
def in_folder() -> dict[str, Any]:
    Path("/data/weights").write_text("w")
    os.symlink("../..", "/data/up")
    volume.commit()
    return {
        "above": sorted(os.listdir("/data/up/..")) == sorted(os.listdir("/data/../..")),
        "here": sorted(os.listdir("/data")),
    }


@app.function(
    volumes={"/data": volume.with_mount_options(sub_path="models/within", read_only=True)}, **FORKED
)
def within() -> list[Any]:
    return [os.listdir("/data"), error_of(lambda: Path("/data/x").write_text("x"))]


@app.function(image=image, volumes={"/data": volume.with_mount_options(sub_path="models/out")})
def out() -> list[str]:
    return os.listdir("/data")


@app.function(image=image, volumes=MOUNT)
def make_links() -> None:
    os.symlink("small", "/data/models/within")
    os.symlink("/etc", "/data/models/out")


@app.function(image=image)
def given(other: modal.Volume) -> list[str]:
    other.remove_file("a")
    return [f"{entry.path} {entry.type.name} {entry.size}" for entry in other.iterdir("")]


async def with_coroutines() -> list[Any]:
    async with volume.batch_upload(force=True) as batch:
        batch.put_file(io.BytesIO(b"from a coroutine"), "coroutine.txt")
    content = b"".join([part async for part in volume.read_file.aio("coroutine.txt")])
    names = [entry.path async for entry in volume.iterdir.aio("/", recursive=False)]
    await volume.remove_file.aio("coroutine.txt")
    return [content.decode(), "coroutine.txt" in names]


@app.local_entrypoint()
def main(folder: str) -> None:
    seen: dict[str, Any] = {}
    local = Path(folder)
    (local / "sub").mkdir()
    (local / "small.txt").write_text("there")
    (local / "run.sh").write_text("#!/bin/sh")
    (local / "run.sh").chmod(0o755)
    (local / "sub/large.bin").write_bytes(bytes(range(256)) * 20_000)
    (local / "sub/odd ü\n'name").write_bytes(b"")

    with volume.batch_upload() as batch:
        batch.put_directory(local, "/from-client")
    with volume.batch_upload(force=True) as batch:
        batch.put_directory(local, "/from-client")

    def again() -> None:
        with volume.batch_upload() as batch:
            batch.put_file(local / "small.txt", "from-client/small.txt")

    seen["again"] = error_of(again)
    seen["inside"] = inside.remote()
    seen["read-only"] = reading.remote()
    entries = volume.listdir("from-client", recursive=True)
    seen["listed"] = sorted([entry.path, entry.type.name, entry.size] for entry in entries)
    seen["large"] = b"".join(volume.read_file("from-client/sub/large.bin")) == bytes(range(256)) * 20_000
    into = io.BytesIO()
    seen["into"] = [volume.read_file_into_fileobj("from-client/small.txt", into), into.getvalue().decode()]
    volume.copy_files(["from-client"], "copied", recursive=True)
    seen["copied"] = [entry.path for entry in volume.listdir("copied")]
    seen["coroutines"] = asyncio.run(with_coroutines())
    seen["errors"] = [
        error_of(lambda: list(volume.read_file("escape"))),
        error_of(lambda: list(volume.read_file("none"))),
        error_of(lambda: list(volume.read_file("../../blobs"))),
        error_of(lambda: volume.remove_file("copied")),
        error_of(lambda: volume.listdir("from-client/*")),
        error_of(lambda: volume.read_only().remove_file("copied", recursive=True)),
        error_of(volume.commit),
        error_of(volume.reload),
        error_of(lambda: modal.Volume.from_name("volumes-none").listdir("/")),
    ]
    with modal.Volume.ephemeral() as other:
        with other.batch_upload() as batch:
            batch.put_file(io.BytesIO(b"1"), "a")
            batch.put_file(io.BytesIO(b"22"), "b")
        seen["ephemeral"] = given.remote(other)
    seen["gone"] = error_of(lambda: other.listdir("/"))

    seen["in folder"] = in_folder.remote()
    make_links.remote()
    seen["within"] = within.remote()
    seen["out"] = error_of(out.remote)

    modal.Volume.objects.create("volumes-old")
    modal.Volume.rename("volumes-old", "volumes-new")
    seen["taken"] = error_of(lambda: modal.Volume.rename("volumes-new", "volumes-data"))
    seen["names"] = [each.name for each in modal.Volume.objects.list()]
    seen["info"] = modal.Volume.from_id(modal.Volume.from_name("volumes-new").hydrate().object_id).info().name
    modal.Volume.objects.delete("volumes-new")
    seen["deleted"] = error_of(lambda: modal.Volume.from_name("volumes-new").info())
    print("SEEN " + json.dumps(seen))
