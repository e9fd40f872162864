"""Two containers that together need more cores than this machine has: only two workers can run both at once."""

from __future__ import annotations

import os
import time

import ionian as modal

CORES = os.cpu_count() or 1
app = modal.App("wide")


@app.function(cpu=0.6 * CORES, min_containers=2)  # also where the second worker comes late
def span(number: int) -> tuple[float, float]:
    start = time.monotonic()
    time.sleep(0.3)
    return start, time.monotonic()


@app.local_entrypoint()
def main() -> None:
    while True:  # until the second worker has come
        (start, end), (other_start, other_end) = span.map(range(2))
        if start < other_end and other_start < end:
            print("both at once", flush=True)
            return
