"""An isolated volume in two containers of one machine, as a line of JSON: what one writes the other sees by commit and reload."""

from __future__ import annotations

import hashlib
import io
import json
import os
import time
from pathlib import Path
from typing import Any

import modal

app = modal.App("isolated")
image = modal.Image.debian_slim(python_version="3.11")
volume = modal.Volume.from_name("isolated")


@app.cls(image=image, volumes={"/data": volume}, scaledown_window=600)
class Place:
    name: str = modal.parameter()

    @modal.method()
    def write(self, path: str, text: str, commit: bool) -> None:
        Path("/data", path).write_text(text)
        if commit:
            volume.commit()

    @modal.method()
    def close(self, path: str) -> None:
        Path("/data", path).chmod(0o600)

    @modal.method()
    def files(self, reload: bool = False) -> dict[str, str]:
        if reload:
            volume.reload()
        return {path.name: path.read_text() for path in sorted(Path("/data").iterdir())}


@app.function(image=image, volumes={"/data": volume}, single_use_containers=True)
def leave(path: str) -> None:
    Path("/data", path).write_text("at its end")


@app.function(image=image, volumes={"/data": volume.read_only()}, single_use_containers=True)
def look() -> list[str]:
    try:
        Path("/data/refused").write_text("")
    except OSError as error:
        return [str(error), *sorted(path.name for path in Path("/data").iterdir())]
    return []


def lose(content: bytes) -> None:
    """The server has this content no more."""
    digest = hashlib.sha256(content).hexdigest()
    Path(os.environ["IONIAN_HOME"], "blobs", digest[:2], digest[2:]).unlink()


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, Any] = {}
    a, b = Place(name="a"), Place(name="b")
    with volume.batch_upload() as batch:
        batch.put_file(io.BytesIO(b"client"), "client")
    seen["at the start"] = [a.files.remote(), b.files.remote()]
    a.write.remote("one", "a", False)
    seen["own"] = a.files.remote()
    a.write.remote("two", "a", True)
    seen["committed"] = [b.files.remote(), [entry.path for entry in volume.listdir("/")]]
    b.write.remote("three", "b", False)
    seen["reloaded"] = b.files.remote(True)
    leave.remote("four")
    while "four" not in [entry.path for entry in volume.listdir("/")]:
        time.sleep(0.05)
    seen["looked"] = look.remote()
    a.files.remote(True)
    lose(b"at its end")
    a.close.remote("four")
    a.write.remote("five", "a", False)
    while "five" not in [entry.path for entry in volume.listdir("/")] and a.files.remote():
        time.sleep(0.05)
    seen["lost"] = a.files.remote()
    print("SEEN", json.dumps(seen))
