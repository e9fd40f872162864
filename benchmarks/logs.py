# pyright: basic
"""What a flood of output does to calls: the p50 of a call without it and with it, and the lines a second that are kept.

python -m benchmarks.logs [--seconds 20] [--a-minute 1000000] [--calls 300]      prints a line each

Needs a server of its own: set IONIAN_HOME to a new folder. The flood is one container; each
of its lines is counted in the log of its call afterwards. --a-minute 0: as fast as it may.
"""

from __future__ import annotations

import argparse
import os
import sys
import time

import ionian as modal

from .measure import percentile

app = modal.App("benchmark-logs")
image = modal.Image.debian_slim(python_version=f"{sys.version_info[0]}.{sys.version_info[1]}")


@app.function(image=image, serialized=True)
def flood(seconds: float, a_minute: int) -> tuple[int, float]:
    """Prints for so long; says how many lines, and how long it took."""
    import time

    begun, lines = time.monotonic(), 0
    while (took := time.monotonic() - begun) < seconds:
        due = int(took * a_minute / 60) if a_minute else lines + 1000
        for number in range(lines, due):
            print(f"line {number} of a program that says what it does all the time")
        lines = due
        if a_minute:
            time.sleep(0.01)
    return lines, time.monotonic() - begun


@app.function(image=image, serialized=True)
def noop(n: int) -> int:
    """A call."""
    return n


def p50_ms(calls: int) -> float:
    """The median of so many calls, one after the other."""
    took: list[float] = []
    for n in range(calls):
        begun = time.monotonic()
        noop.remote(n)
        took.append((time.monotonic() - begun) * 1e3)
    return percentile(took, 0.5)


def main() -> None:
    """Measures, and prints."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--a-minute", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=300)
    options = parser.parse_args()
    os.environ.setdefault("IONIAN_LOGS_APP_MIB", "1024")
    measure(options.seconds, options.a_minute, options.calls)


def measure(seconds: float, a_minute: int, calls: int) -> None:
    """The measurement, in this home."""
    with app.run():
        noop.remote(0)
        flood.remote(0.01, a_minute)
        print(f"call without a flood   p50 {p50_ms(calls):.2f} ms", flush=True)
        call = flood.spawn(seconds, a_minute)
        time.sleep(0.5)
        print(f"call amid the flood    p50 {p50_ms(calls):.2f} ms", flush=True)
        lines, took = call.get()
        kept = sum(1 for _ in call.logs.fetch(search_text="line "))
        print(f"lines printed          {lines:,}: {lines / took * 60:,.0f} a minute")
        print(f"lines kept by its call {kept:,}")


if __name__ == "__main__":
    main()
