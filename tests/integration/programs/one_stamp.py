"""An image of which no two builds are equal: the function says what its build has drawn."""

from __future__ import annotations

from pathlib import Path

import ionian as modal

app = modal.App("one-stamp")
image = modal.Image.debian_slim(python_version="3.11").run_commands(
    "head -c 16 /dev/urandom | od -An -tx1 > /stamp", "cp /stamp /copy"
)


@app.function(image=image)
def look() -> str:
    stamp = Path("/stamp").read_text()
    assert stamp == Path("/copy").read_text()
    return stamp.replace(" ", "").strip()


@app.local_entrypoint()
def main() -> None:
    print("STAMP", look.remote(), flush=True)
