"""Two images of one app whose steps wait for each other, by a pipe that both find in a volume."""

from __future__ import annotations

import uuid
from pathlib import Path

import ionian as modal

app = modal.App("meeting-builds")
place = modal.Volume.from_name("meeting-place", create_if_missing=True)
base = modal.Image.debian_slim(python_version="3.11")
pipe = f"/meet/{uuid.uuid4().hex}"
made = f"mkfifo {pipe} 2>/dev/null || [ -p {pipe} ]"
says = base.run_commands(f"{made} && echo here > {pipe} && echo met > /who", volumes={"/meet": place})
hears = base.run_commands(f"{made} && cat {pipe} > /who && rm {pipe}", volumes={"/meet": place})


@app.function(image=says)
def one() -> str:
    return Path("/who").read_text().strip()


@app.function(image=hears)
def other() -> str:
    return Path("/who").read_text().strip()


@app.local_entrypoint()
def main() -> None:
    print("SAID", one.remote(), other.remote(), flush=True)
