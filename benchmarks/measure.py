"""Measuring: one warm call after the other, many at once, and what a process holds in memory."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from threading import Event, Thread
from typing import Any


def percentile(values: list[float], part: float) -> float:
    """The value below which `part` (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(part * len(ordered)))]


def one_after_the_other(call: Callable[[int], Any], count: int) -> dict[str, float]:
    """How long one blocking call takes, in µs: p50 and p99 of `count`, after a tenth as many to warm up."""
    for n in range(max(1, count // 10)):
        call(n)
    taken: list[float] = []
    for n in range(count):
        start = time.perf_counter()
        call(n)
        taken.append(1e6 * (time.perf_counter() - start))
    return {"p50_us": percentile(taken, 0.5), "p99_us": percentile(taken, 0.99)}


def many(run: Callable[[int], Any], count: int, repeats: int = 3) -> dict[str, float]:
    """Inputs a second of `run(count)`, the median of some repeats, after a short one to warm up."""
    run(max(1, count // 20))
    rates: list[float] = []
    for _ in range(repeats):
        start = time.perf_counter()
        run(count)
        rates.append(count / (time.perf_counter() - start))
    return {"per_s": median(rates), "inputs": float(count)}


def resident_mb(pid: int) -> float:
    """Resident memory of a process; 0 where it has gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) / 1024
    except OSError:
        pass
    return 0.0


def processes(*words: str) -> list[int]:
    """The processes whose command line holds all these words."""
    found: list[int] = []
    for entry in Path("/proc").iterdir():
        try:
            command = (entry / "cmdline").read_bytes().split(b"\0") if entry.name.isdigit() else []
        except OSError:
            continue
        text = b" ".join(command).decode(errors="replace")
        if command and all(word in text for word in words):
            found.append(int(entry.name))
    return found


@contextmanager
def watching_memory(**pids: int) -> Generator[dict[str, float]]:
    """The most memory (MB) that each process held meanwhile, sampled twenty times a second."""
    peak = dict.fromkeys(pids, 0.0)
    stop = Event()

    def watch() -> None:
        while not stop.wait(0.05):
            for name, pid in pids.items():
                peak[name] = max(peak[name], resident_mb(pid))

    thread = Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield peak
    finally:
        stop.set()
        thread.join()
