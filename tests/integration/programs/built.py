"""An image that comes out otherwise whenever it is built: prints which one this is."""

from __future__ import annotations

import os
import pathlib

import ionian as modal

app = modal.App("built")
image = (
    modal.Image.debian_slim("3.11")
    .env({"RUN_OF_TESTS": os.environ.get("RUN_OF_TESTS", "")})
    .run_commands("cat /proc/sys/kernel/random/uuid > /srv/id")
)


@app.function(image=image)
def which() -> str:
    return pathlib.Path("/srv/id").read_text().strip()


@app.local_entrypoint()
def main() -> None:
    print(f"built as {which.remote()}", flush=True)
