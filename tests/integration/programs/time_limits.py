"""Inputs, starts and ends that take their time. Prints what it saw as one line of JSON."""

import asyncio
import atexit
import json
import os
import pathlib
import time
from concurrent.futures import ThreadPoolExecutor

import ionian as modal

app = modal.App("time-limits", image=modal.Image.debian_slim(python_version="3.11"))
marks = modal.Volume.from_name("time-limits", create_if_missing=True)


def here() -> str:
    """The container's id. At import it may be another's: that of a template has none."""
    return os.environ["MODAL_TASK_ID"]


def mark(name: str, text: str = "") -> None:
    pathlib.Path("/marks", name + ".new").write_text(text or here())
    pathlib.Path("/marks", name + ".new").rename(f"/marks/{name}")


@app.function(volumes={"/marks": marks})
@modal.concurrent(max_inputs=20)
def until(name: str) -> str:
    path = pathlib.Path("/marks", name)
    for _ in range(3000):
        if path.exists():
            return path.read_text()
        time.sleep(0.01)
    raise TimeoutError(f"nobody made {name}")


@app.function(volumes={"/marks": marks}, timeout=3, max_containers=1)
@modal.concurrent(max_inputs=3)
async def endless_once(name: str) -> str:
    """ "first" never ends; "second" doesn't at its first try."""
    tried = pathlib.Path("/marks", f"{name} begun").exists()
    mark(f"{name} begun")
    if name == "first" or (name == "second" and not tried):
        await asyncio.sleep(3600)
    return "again" if tried else "at once"


@app.cls(startup_timeout=1)
class NeverReady:
    @modal.enter()
    def enter(self) -> None:
        time.sleep(3600)

    @modal.method()
    def nothing(self) -> None: ...


@app.function(single_use_containers=True, max_containers=2, volumes={"/marks": marks})
def once(number: int) -> str:
    atexit.register(mark, f"once {number} left")
    return here()


@app.function(scaledown_window=1, volumes={"/marks": marks})
def leaves_slowly() -> str:
    def leave() -> None:
        time.sleep(6)  # more than the server's patience with an idle container that does not end
        mark("left")

    atexit.register(leave)
    return here()


def outcome(call: object) -> str:
    try:
        return str(call())
    except Exception as error:
        return f"{type(error).__name__}: {error}"


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, object] = {}
    slow = leaves_slowly.remote()
    with ThreadPoolExecutor(3) as pool:
        first = pool.submit(outcome, lambda: endless_once.remote("first"))
        until.remote("first begun")
        time.sleep(1)  # so that the first one is over its timeout long before the second
        second = pool.submit(outcome, lambda: endless_once.remote("second"))
        third = pool.submit(outcome, lambda: endless_once.remote("third"))
        seen["first"], seen["second"], seen["third"] = first.result(), second.result(), third.result()
    seen["never ready"] = outcome(NeverReady().nothing.remote)
    ids = list(once.map(range(5)))
    seen["once"] = len(set(ids))
    seen["once left"] = [until.remote(f"once {number} left") for number in range(5)] == ids
    seen["left"] = until.remote("left") == slow
    print("SEEN", json.dumps(seen))
