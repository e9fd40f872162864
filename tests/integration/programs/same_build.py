"""Two apps of one image, whose build draws a number and goes on when somebody has put a file into a volume.

Each is the file that it is deployed as: `ionian deploy --name NAME same_build.py`, with KEY of the image in the environment."""

from __future__ import annotations

import os

import ionian as modal

gate = modal.Volume.from_name("gate-of-builds", create_if_missing=True)
image = modal.Image.debian_slim(python_version="3.11").run_commands(
    f"echo drawn {os.environ.get('KEY', '')} $(od -An -N8 -tx8 /dev/urandom)",
    f"until [ -e /gate/{os.environ.get('KEY', '')} ]; do sleep 0.1; done; echo through",
    volumes={"/gate": gate},
)
app = modal.App("same-build")


@app.function(image=image)
def look() -> None: ...
