"""Calls that have no result yet, each for another reason, from `ionian run`: prints what is said of them, in the program,
by `ionian call why` and by `ionian container list`, as one line of JSON."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import Any

import modal

IONIAN = os.path.join(os.path.dirname(sys.executable), "ionian")

app = modal.App("why")


@app.function(max_containers=1)
def capped() -> None:
    time.sleep(3600)


@app.cls()
class Slow:
    @modal.enter()
    def load(self) -> None:
        time.sleep(3600)

    @modal.method()
    def run(self) -> None: ...


@app.function(retries=modal.Retries(max_retries=3, initial_delay=60.0))
def failing() -> None:
    raise ValueError("not yet")


@app.function(cpu=os.cpu_count())
def wide() -> str:
    return "it ran"


@app.function()
def many() -> None: ...


def said(call: Any, words: str) -> list[str]:
    """Why a call has no result yet, once these words are in it."""
    while not any(words in reason for reason in call.why()):
        time.sleep(0.02)
    return call.why()


def told(*arguments: str) -> Any:
    """What the command line says."""
    done = subprocess.run((IONIAN, *arguments, "--json"), capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


@app.local_entrypoint()
def main() -> None:
    first = capped.spawn()
    found: dict[str, Any] = {"running": said(first, "has been running")}
    others = [capped.spawn(), capped.spawn()]
    found["capped"] = [said(call, "max_containers") for call in others]
    starting, retrying = Slow().run.spawn(), failing.spawn()
    found["starting"] = said(starting, "since")
    found["retrying"] = said(retrying, "tried again")
    large = wide.spawn()
    found["room"] = said(large, "asked")
    calls = {"running": first, "capped": others[1], "starting": starting, "retrying": retrying, "room": large}
    found["told"] = {name: told("call", "why", call.object_id) for name, call in calls.items()}
    found["list"] = [
        {name: row[name] for name in ("Function", "State", "Inputs", "Reason")}
        for row in told("container", "list")
    ]
    found["stats"] = capped.get_current_stats()._asdict()
    for call in (first, *others, starting, retrying):
        call.cancel(terminate_containers=True)
    found["large"] = large.get()
    found["done"] = large.why()
    print("SEEN " + json.dumps(found))
