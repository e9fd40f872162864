"""One volume on two machines, as a line of JSON. Each place is a container that needs more than half of a machine."""

from __future__ import annotations

import io
import json
import os
import time
from pathlib import Path
from typing import Any

import modal

CORES = os.cpu_count() or 1
app = modal.App("far-volumes")
image = modal.Image.debian_slim(python_version="3.11")
volume = modal.Volume.from_name("far", create_if_missing=True)


@app.cls(image=image, volumes={"/data": volume}, cpu=0.6 * CORES, scaledown_window=600)
class Place:
    name: str = modal.parameter()

    @modal.method()
    def where(self) -> str:
        """The folder of the machine that is mounted."""
        lines = Path("/proc/self/mountinfo").read_text().splitlines()
        return next(fields[3] for fields in map(str.split, lines) if fields[4] == "/data")

    @modal.method()
    def write(self, path: str, text: str, commit: bool = True) -> None:
        at = Path("/data", path)
        at.parent.mkdir(parents=True, exist_ok=True)
        at.write_text(text)
        if commit:
            volume.commit()

    @modal.method()
    def remove(self, path: str) -> None:
        Path("/data", path).unlink()
        volume.commit()

    @modal.method()
    def files(self, reload: bool = True) -> dict[str, str]:
        if reload:
            volume.reload()
        found = (path for path in Path("/data").rglob("*") if path.is_file())
        return {str(path.relative_to("/data")): path.read_text() for path in sorted(found)}

    @modal.method()
    def write_many(self) -> str:
        """Twenty files, each of its own content."""
        for number in range(20):
            Path(f"/data/many-{number:02}").write_bytes(bytes([number]) * (300 << 10))
        return self.commit()

    @modal.method()
    def commit(self) -> str:
        try:
            volume.commit()
        except Exception as error:
            return f"{type(error).__name__}: {error}"
        return "committed"

    @modal.method()
    def names(self) -> list[str]:
        volume.reload()
        return sorted(os.listdir("/data"))

    @modal.method()
    def reload_with_too_little_room(self) -> list[str]:
        try:
            volume.reload()
        except Exception as error:
            return [
                f"{type(error).__name__}: {error}",
                *(f"{at.name} {at.stat().st_size}" for at in Path("/data").iterdir()),
            ]
        return []

    @modal.method()
    def reload_with_an_open_file(self, path: str) -> str:
        with open(f"/data/{path}") as held:
            try:
                volume.reload()
            except RuntimeError as error:
                return str(error)
            finally:
                held.read()
        return "nothing"


def kept() -> dict[str, str]:
    """What a client sees."""
    entries = volume.listdir("/", recursive=True)
    files = sorted(entry.path for entry in entries if entry.type.name == "FILE")
    return {path: b"".join(volume.read_file(path)).decode() for path in files}


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, Any] = {}
    a, b = Place(name="a"), Place(name="b")
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"client"), "from/client")
    seen["where"] = [a.where.remote(), b.where.remote()]
    seen["at their start"] = [a.files.remote(False), b.files.remote(False)]
    a.write.remote("from/a", "a")
    seen["before reload"] = "from/a" in b.files.remote(False)
    seen["after reload"] = b.files.remote()
    seen["client"] = kept()
    a.write.remote("mine/a", "a", False)
    b.write.remote("mine/b", "b")
    a.write.remote("mine/c", "c")
    seen["both"] = [a.files.remote(), b.files.remote()]
    a.write.remote("same", "a")
    b.write.remote("same", "b")
    seen["same"] = [a.files.remote()["same"], b.files.remote()["same"], kept()["same"]]
    a.remove.remote("from/client")
    seen["removed"] = "from/client" in b.files.remote()
    seen["open"] = b.reload_with_an_open_file.remote("from/a")
    b.write.remote("later", "without a commit", False)
    while "later" not in kept():
        time.sleep(0.2)
    seen["later"] = a.files.remote()["later"]
    with volume.batch_upload(force=True) as batch:
        batch.put_file(io.BytesIO(b"client again"), "same")
    seen["uploaded"] = a.files.remote()["same"]
    print(json.dumps(seen))


@app.local_entrypoint()
def shared() -> None:
    a, b = Place(name="a"), Place(name="b")
    a.write.remote("from/a", "a", False)
    b.write.remote("from/b", "b")
    seen = {"where": [a.where.remote(), b.where.remote()], "files": [a.files.remote(), b.files.remote(False)]}
    print(json.dumps(seen))


@app.local_entrypoint()
def full() -> None:
    a = Place(name="a")
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"a" * (3 << 20)), "first")
    a.where.remote()
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"b" * (3 << 20)), "second")
        batch.put_file(io.BytesIO(b"s"), "small")
    print(json.dumps(a.reload_with_too_little_room.remote()))


@app.local_entrypoint()
def too_much() -> None:
    a, b = Place(name="a"), Place(name="b")
    a.write.remote("kept", "old")
    print(json.dumps([b.names.remote(), a.write_many.remote(), b.names.remote()]))


@app.local_entrypoint()
def with_room() -> None:
    print(json.dumps([Place(name=name).commit.remote() for name in "ab"]))
    print(json.dumps([Place(name=name).names.remote() for name in "ab"]))
