"""Volumes, mounted and by call. Plain Modal code."""

import io
import os
import pathlib
import tempfile

import modal

app = modal.App("volumes-in-full")
image = modal.Image.debian_slim(python_version="3.11")
volume = modal.Volume.from_name("in-full", create_if_missing=True, version=2)


@app.function(image=image, volumes={"/vol": volume})
def write(name: str, text: str) -> list[str]:
    path = pathlib.Path("/vol", name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    volume.commit()
    volume.reload()
    return sorted(os.listdir("/vol"))


@app.function(image=image, volumes={"/vol": volume.with_mount_options(read_only=True, sub_path="/data")})
def read(name: str) -> str:
    try:
        pathlib.Path("/vol/new").write_text("no")
    except OSError:
        return pathlib.Path("/vol", name).read_text()
    raise AssertionError("a read-only mount was written to")


@app.function(
    image=image, volumes={"/vol": modal.Volume.from_name("in-full").with_mount_options(sub_path="fresh")}
)
async def fresh() -> int:
    with open("/vol/here", "w") as file:
        file.write("1")
    return len(os.listdir("/vol"))


@app.function(image=image)
async def by_call(name: str) -> bytes:
    return b"".join([chunk async for chunk in volume.read_file.aio(name)])


def raises(kind: type, use) -> bool:
    try:
        use()
    except kind:
        return True
    return False


def upload(force: bool = False) -> None:
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "deep").mkdir()
        pathlib.Path(folder, "deep/a.bin").write_bytes(b"\x00\xff" * 100_000)
        with volume.batch_upload(force=force) as batch:
            batch.put_directory(folder, "/sent")
            batch.put_file(io.BytesIO(b"from memory"), "sent/memory.txt", mode=0o600)


@app.local_entrypoint()
def main() -> None:
    assert "data" in write.remote("data/one.txt", "one")
    assert read.remote("one.txt") == "one"
    assert fresh.remote() == 1
    assert b"".join(volume.read_file("fresh/here")) == b"1"

    upload()
    assert raises(FileExistsError, upload)
    upload(force=True)
    assert by_call.remote("sent/memory.txt") == b"from memory"
    entries = {entry.path: entry for entry in volume.listdir("/sent", recursive=True)}
    assert entries["sent/deep/a.bin"].size == 200_000
    assert entries["sent/deep"].type == modal.volume.FileEntryType.DIRECTORY
    assert sum(1 for _ in volume.iterdir("/")) >= len(entries)

    into = io.BytesIO()
    assert volume.read_file_into_fileobj("data/one.txt", into) == 3
    volume.copy_files(["data/one.txt", "sent/memory.txt"], "sent/deep")
    volume.copy_files(["sent"], "copied", recursive=True)
    assert b"".join(volume.read_file("copied/deep/one.txt")) == b"one"
    volume.remove_file("copied", recursive=True)
    assert raises(FileNotFoundError, lambda: list(volume.read_file("copied/deep/one.txt")))

    with modal.Volume.ephemeral() as other:
        with other.batch_upload() as batch:
            batch.put_file(io.BytesIO(b"x"), "x")
        assert [entry.path for entry in other.listdir("/")] == ["x"]
    modal.Volume.objects.create("in-full-other", allow_existing=True)
    modal.Volume.rename("in-full-other", "in-full-renamed")
    assert "in-full-renamed" in [each.name for each in modal.Volume.objects.list()]
    modal.Volume.objects.delete("in-full-renamed")
    assert raises(modal.exception.NotFoundError, modal.Volume.from_name("in-full-renamed").hydrate)
    same = modal.Volume.from_id(volume.object_id)
    assert same.info().name == "in-full"
    modal.Volume.objects.delete("in-full")
    print("all as expected")
