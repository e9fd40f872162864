"""Output of every kind, from `ionian run`."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import ionian as modal

app = modal.App("printing")
meeting = modal.Volume.from_name("printing-meeting", create_if_missing=True)


@app.function(max_containers=1)
def partial() -> None:
    print("first half,", end=" ", flush=True)
    print("a line of the other stream", file=sys.stderr)
    print("second half")


@app.function(max_containers=1)
def unfinished() -> None:
    print("a line without an end", end="")


@app.function(max_containers=1)
def flood(lines: int) -> None:
    for number in range(lines):
        print(f"line {number:06d}")


@app.function(max_containers=1)
def raw() -> None:
    subprocess.run(["sh", "-c", "echo from a child; echo and its errors >&2"])
    os.write(1, b"written raw\n")
    snow = "cut in the middle of \N{SNOWMAN}\n".encode()
    os.write(1, snow[:-3])
    time.sleep(0.05)
    os.write(1, snow[-3:])
    os.write(2, b"no text: \xff\n")
    print("x" * 200_000)


@app.function(max_containers=2, volumes={"/meeting": meeting})
def several(me: str, other: str) -> None:
    open(f"/meeting/{me}", "w").close()
    while not os.path.exists(f"/meeting/{other}"):
        time.sleep(0.01)
    print(f"I am {me.split('-')[0]}")


@app.local_entrypoint()
def main(lines: int = 50_000) -> None:
    partial.remote()
    unfinished.remote()
    raw.remote()
    flood.remote(lines)
    now = time.time_ns()
    one, two = f"one-{now}", f"two-{now}"
    list(several.starmap([(one, two), (two, one)]))
    print("the end", flush=True)
