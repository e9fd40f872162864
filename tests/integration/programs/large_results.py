"""Containers with little memory take and return much. Prints what it saw as one line of JSON."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path

import modal

app = modal.App("large-results", image=modal.Image.debian_slim(python_version="3.11"))

MIB = 1 << 20


def peak_mib(pid: int | str = "self") -> int:
    """The most memory that a process had so far."""
    return int(Path(f"/proc/{pid}/status").read_text().split("VmHWM:")[1].split()[0]) >> 10


def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@app.function(memory=(128, 256), max_containers=1)
def large(mib: int) -> tuple[str, bytes]:
    data = os.urandom(MIB) * mib
    return digest(data), data


@app.function(memory=(128, 256), max_containers=1)
def taken(data: bytes) -> str:
    return digest(data)


@app.function(memory=(128, 256), max_containers=1)
def echo(data: bytes) -> tuple[str, bytes]:
    return digest(data), data


@app.function(memory=(128, 256), max_containers=1)
@modal.concurrent(max_inputs=2)
def echo_beside_others(data: bytes) -> tuple[str, bytes]:
    return digest(data), data


@app.function(memory=(128, 256), max_containers=1)
def pieces(mib: int) -> Iterator[bytes]:
    for number in range(3):
        yield bytes([number]) * (mib * MIB)


@app.function(memory=(128, 256), max_containers=1)
def caller(mib: int) -> list[object]:
    """Calls from a container with as little memory, which has to give what it sends and gets some room."""
    given, data = large.remote(mib)
    return [given == digest(data), echo.remote(data)[0] == given]


@app.local_entrypoint()
def main() -> None:
    home = Path(os.environ["IONIAN_HOME"])
    server = json.loads((home / "run" / "server.json").read_text())["pid"]
    worker = re.findall(r"worker started pid=(\d+)", (home / "logs" / "server.log").read_text())[-1]
    large.remote(1)
    before = {"server": peak_mib(server), "worker": peak_mib(worker)}
    seen: dict[str, object] = {}
    argument = os.urandom(MIB) * 64
    seen["taken"] = taken.remote(argument) == digest(argument)
    seen["worker grew by an argument"] = peak_mib(worker) - before["worker"]
    for name, result in (("remote", large.remote(100)), ("spawned", large.spawn(100).get(timeout=60))):
        said, data = result
        seen[name] = [len(data) >> 20, digest(data) == said]
    seen["one after the other"] = [len(data) >> 20 for _, data in large.map([100, 101, 102])]
    argument = os.urandom(MIB) * 100
    for function in (echo, echo_beside_others):
        said, data = function.remote(argument)
        seen[function.tag] = [said == digest(argument), data == argument]
    seen["yielded"] = [[len(piece) >> 20, piece[-1]] for piece in pieces.remote_gen(60)]
    seen["from a container"] = caller.remote(60)
    seen["server grew"] = peak_mib(server) - before["server"]
    seen["worker grew"] = peak_mib(worker) - before["worker"]
    try:
        large.remote(300)
    except modal.exception.ResourceExhaustedError as error:
        seen["too large"] = str(error)
    seen["after"] = len(large.remote(1)[1])
    print("SEEN", json.dumps(seen))
