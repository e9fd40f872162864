"""Many seeds: `python -m tests.simulation.soak --seeds N --workers W --inputs I --processes P`.

Prints each seed that fails with the command that plays it again, and the rate once a minute; goes on to the end. The
status is 1 where one failed. `--large`: the story of a thousand workers.
"""

from __future__ import annotations

import argparse
import random
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from functools import partial

from .large import play_large
from .stories import play

CHUNK = 20
"""Seeds that a process is given at a time."""

SAY_EVERY_S = 60.0


def one(seed: int, workers: int, inputs: int, large: bool) -> str:
    """How a seed failed; "" where it did not."""
    try:
        (play_large if large else play)(seed, workers=workers, inputs=inputs)
    except AssertionError as error:
        return str(error)
    return ""


def some(seeds: list[int], workers: int, inputs: int, large: bool) -> tuple[int, list[str]]:
    """Several seeds, in a process: how many, and how they failed."""
    found = [one(seed, workers, inputs, large) for seed in seeds]
    return len(seeds), [failure for failure in found if failure]


def chunks(first: int, count: int, size: int) -> Iterator[list[int]]:
    """The seeds, as lists."""
    for at in range(first, first + count, size):
        yield list(range(at, min(at + size, first + count)))


def soak(args: argparse.Namespace) -> int:
    """Plays them all; returns how many failed."""
    began = said = time.monotonic()
    done = failed = 0
    play_some = partial(some, workers=args.workers, inputs=args.inputs, large=args.large)
    with ProcessPoolExecutor(args.processes) as pool:
        size = 1 if args.large else CHUNK
        futures = [pool.submit(play_some, seeds) for seeds in chunks(args.first, args.seeds, size)]
        for future in as_completed(futures):
            count, failures = future.result()
            done, failed = done + count, failed + len(failures)
            for failure in failures:
                print(failure, flush=True)
            now = time.monotonic()
            if now - said > SAY_EVERY_S or args.large or done == args.seeds:
                said = now
                rate = done / (now - began)
                print(f"{done:,} of {args.seeds:,} seeds from {args.first}, {failed} failed,"
                      f" {now - began:.0f} s, {rate:.2f} seeds/s", flush=True)  # fmt: skip
    return failed


def main() -> int:
    """Reads the options."""
    parser = argparse.ArgumentParser(prog="python -m tests.simulation.soak")
    parser.add_argument("--first", type=int, help="the first seed (default: at random)")
    parser.add_argument("--seeds", type=int, default=100)
    parser.add_argument("--workers", type=int, default=20)
    parser.add_argument("--inputs", type=int, default=2000)
    parser.add_argument("--processes", type=int, default=1)
    parser.add_argument("--large", action="store_true", help="the story for a thousand workers")
    args = parser.parse_args()
    if args.first is None:
        args.first = random.randrange(1 << 40)
    return 1 if soak(args) else 0


if __name__ == "__main__":
    sys.exit(main())
