"""A call that goes on when its client has gone: `ionian run --detach detached.py::main --name …`, then `::seen`."""

from __future__ import annotations

import os
import time

import ionian as modal

app = modal.App("detached")
marks = modal.Volume.from_name("detached-marks", create_if_missing=True)


@app.function(volumes={"/marks": marks})
def slow(name: str) -> None:
    """Says that it runs, waits until its client is gone, and says that it ended."""
    print("it runs", flush=True)
    while not os.path.exists(f"/marks/{name}-go"):
        time.sleep(0.01)
    open(f"/marks/{name}-ended", "w").close()


@app.function(volumes={"/marks": marks})
def wait(name: str) -> None:
    open(f"/marks/{name}-go", "w").close()
    end = time.monotonic() + 20
    while not os.path.exists(f"/marks/{name}-ended"):
        if time.monotonic() > end:
            raise TimeoutError("the detached call has not ended")
        time.sleep(0.01)


@app.local_entrypoint()
def main(name: str) -> None:
    slow.remote(name)


@app.local_entrypoint()
def seen(name: str) -> None:
    wait.remote(name)
    print("it ended", flush=True)
