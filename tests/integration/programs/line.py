"""Four cards are asked for while others have two, and many want one each: from `ionian run line.py --go FILE`. It goes on
when the file is there; what it saw is printed as one line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import modal

IONIAN = os.path.join(os.path.dirname(sys.executable), "ionian")

app = modal.App("line")


@app.function(gpu="A100:2")
def hold() -> None:
    time.sleep(3600)


@app.function(gpu="A100:4")
def four() -> float:
    return time.monotonic()


@app.function(gpu="A100")
def small(number: int) -> float:
    started = time.monotonic()
    time.sleep(0.1)
    return started


def said(call: Any, words: str) -> list[str]:
    """Why a call waits, once these words are in it."""
    while not any(words in reason for reason in call.why()):
        time.sleep(0.02)
    return call.why()


def told(*arguments: str) -> str:
    """What the command line says."""
    done = subprocess.run((IONIAN, *arguments), capture_output=True, text=True, check=True)
    return done.stdout


@app.local_entrypoint()
def main(go: str) -> None:
    holding = hold.spawn()
    said(holding, "running")
    large = four.spawn()
    found: dict[str, Any] = {"large": said(large, "asked")}
    many = small.spawn_map(range(6))
    found["small"] = said(many, "waiting")
    found["why"] = told("call", "why", large.object_id)
    found["list"] = json.loads(told("container", "list", "--json"))
    while not os.path.exists(go):
        time.sleep(0.02)
    assert not any("running" in reason for reason in many.why()), many.why()
    holding.cancel(terminate_containers=True)
    started = large.get()
    found["after"] = [at > started for at in many.iter()]
    print("SEEN " + json.dumps(found))
