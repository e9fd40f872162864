"""Many seeds: `python -m tests.simulation.many FIRST COUNT [WORKERS INPUTS]`; says which fail, and goes on."""

from __future__ import annotations

import sys
import time

from .stories import play


def main(first: int, count: int, workers: int = 20, inputs: int = 2000) -> int:
    """Plays the seeds; the exit status is 1 where one failed."""
    began, failed = time.monotonic(), 0
    for seed in range(first, first + count):
        try:
            play(seed, workers=workers, inputs=inputs)
        except AssertionError as error:
            failed += 1
            print(error, flush=True)
    print(f"{count:,} seeds from {first}, {failed} failed, {time.monotonic() - began:.0f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])))
