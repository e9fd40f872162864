"""From no container to some and back, from `ionian run`: prints what it saw as one line of JSON."""

from __future__ import annotations

import atexit
import fcntl
import json
import os
import pathlib
import time

import ionian as modal

app = modal.App("scaling")
marks = modal.Volume.from_name("scaling-marks", create_if_missing=True)
_held: list[object] = []


@app.function(max_containers=3)
def capped(number: int) -> tuple[str, float, float]:
    start = time.monotonic()
    time.sleep(0.1)
    return os.environ["IONIAN_TASK_ID"], start, time.monotonic()


@app.function(scaledown_window=2, volumes={"/marks": marks})
def idle() -> str:
    if not _held:  # for as long as this container lives
        file = open("/marks/alive", "w")  # noqa: SIM115
        fcntl.flock(file, fcntl.LOCK_EX)
        _held.append(file)
        atexit.register(pathlib.Path("/marks/said-goodbye").touch)
    return os.environ["IONIAN_TASK_ID"]


@app.function(volumes={"/marks": marks})
def wait_until_gone() -> bool:
    """Whether its `atexit` handlers were called."""
    with open("/marks/alive", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
    return os.path.exists("/marks/said-goodbye")


@app.function(single_use_containers=True)
def single(number: int) -> str:
    return os.environ["IONIAN_TASK_ID"]


@app.function(min_containers=2, volumes={"/marks": marks})
def kept(folder: str) -> str:
    """Comes back when two containers are at it."""
    me = os.environ["IONIAN_TASK_ID"]
    os.makedirs(f"/marks/{folder}", exist_ok=True)
    pathlib.Path(f"/marks/{folder}/{me}").touch()
    while len(os.listdir(f"/marks/{folder}")) < 2:
        time.sleep(0.01)
    return me


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, object] = {}
    rows = list(capped.map(range(40)))
    seen["capped"] = [len({row[0] for row in rows}), at_once(rows)]
    before = [idle.remote(), idle.remote()]
    seen["goodbye"] = wait_until_gone.remote()
    seen["idle"] = [*before, idle.remote()]
    seen["single"] = len(set(single.map(range(4))))
    seen["kept"] = len(set(kept.map([str(time.time_ns())] * 2)))
    print("SEEN " + json.dumps(seen), flush=True)


def at_once(rows: list[tuple[str, float, float]]) -> int:
    """How many ran at the same time, at most."""
    events = sorted([(start, 1) for _, start, _ in rows] + [(end, -1) for _, _, end in rows])
    running = most = 0
    for _, change in events:
        running += change
        most = max(most, running)
    return most
