"""Writes a generation into every file of a volume on one machine, and says who sees which, as a line of JSON."""

from __future__ import annotations

import json
import os
import signal
import threading
from pathlib import Path

import modal

CORES = os.cpu_count() or 1
FILES = [f"{folder}/{number}" for folder in "abc" for number in range(5)]

app = modal.App("committing")
image = modal.Image.debian_slim(python_version="3.11")
volume = modal.Volume.from_name("generations", create_if_missing=True)


@app.cls(image=image, volumes={"/data": volume}, cpu=0.6 * CORES, scaledown_window=600)
class Place:
    name: str = modal.parameter()

    @modal.method()
    def write(self, generation: int) -> None:
        for file in FILES:
            at = Path("/data", file)
            at.parent.mkdir(exist_ok=True)
            at.write_text(str(generation))
        volume.commit()

    @modal.method()
    def write_once(self, file: str) -> None:
        """Run again, it leaves what another wrote meanwhile."""
        at = Path("/data", file)
        if not at.exists():
            at.write_text("worker")
        volume.commit()

    @modal.method()
    def die_while_it_commits(self, generation: int) -> None:
        for file in FILES:
            Path("/data", file).write_text(str(generation))
        threading.Thread(target=volume.commit, daemon=True).start()
        os.kill(os.getpid(), signal.SIGKILL)

    @modal.method()
    def generations(self) -> list[str]:
        volume.reload()
        return [Path("/data", file).read_text() for file in FILES]


def kept() -> list[str]:
    """What a client sees."""
    return [b"".join(volume.read_file(file)).decode() for file in FILES]


@app.local_entrypoint()
def write(generation: int) -> None:
    a, b = Place(name="a"), Place(name="b")
    b.generations.remote() if generation > 1 else None
    a.write.remote(generation)
    print(json.dumps([sorted(set(seen)) for seen in (b.generations.remote(), kept())]))


@app.local_entrypoint()
def once(file: str) -> None:
    Place(name="a").write_once.remote(file)


@app.local_entrypoint()
def die(generation: int) -> None:
    try:
        Place(name="a").die_while_it_commits.remote(generation)
    except Exception as error:
        print(type(error).__name__, error)


if __name__ == "__main__":  # without the app, which needs a worker
    print(json.dumps(sorted(set(kept()))))
