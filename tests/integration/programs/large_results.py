"""A container with little memory returns much. Prints what it saw as one line of JSON."""

from __future__ import annotations

import hashlib
import json
import os
import re
from pathlib import Path

import modal

app = modal.App("large-results", image=modal.Image.debian_slim(python_version="3.11"))


def peak_mib(pid: int | str = "self") -> int:
    """The most memory that a process had so far."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) >> 10


@app.function(memory=(128, 256), max_containers=1)
def large(mib: int) -> tuple[str, bytes]:
    data = os.urandom(1 << 20) * mib
    return hashlib.sha256(data).hexdigest(), data


@app.local_entrypoint()
def main() -> None:
    home = Path(os.environ["IONIAN_HOME"])
    server = json.loads((home / "run" / "server.json").read_text())["pid"]
    worker = re.findall(r"worker started pid=(\d+)", (home / "logs" / "server.log").read_text())[-1]
    large.remote(1)
    before = {"server": peak_mib(server), "worker": peak_mib(worker)}
    seen: dict[str, object] = {}
    for name, result in (("remote", large.remote(64)), ("spawned", large.spawn(64).get(timeout=60))):
        digest, data = result
        seen[name] = [len(data) >> 20, hashlib.sha256(data).hexdigest() == digest]
    seen["server grew"] = peak_mib(server) - before["server"]
    seen["worker grew"] = peak_mib(worker) - before["worker"]
    try:
        large.remote(200)
    except modal.exception.ResourceExhaustedError as error:
        seen["too large"] = str(error)
    seen["after"] = len(large.remote(1)[1])
    print("SEEN", json.dumps(seen))
