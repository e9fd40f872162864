"""Measures everything and writes docs/performance.md: `python -m benchmarks [--quick] [--only NAME,NAME]`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from .calls import MEASUREMENTS, Result, run_measurement
from .peers import PEERS, run_peer
from .report import write

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"


def main() -> int:
    parser = argparse.ArgumentParser(prog="script/bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the calls: to see that it runs")
    parser.add_argument(
        "--only", default="", help="measure these alone, and write nothing: call,million,ray-actor"
    )
    options = parser.parse_args()
    only = [name for name in options.only.split(",") if name]
    unknown = [name for name in only if name not in MEASUREMENTS and name not in PEERS]
    if unknown:
        parser.error(f"expected some of {', '.join([*MEASUREMENTS, *PEERS])}; got {', '.join(unknown)}")
    scale = 0.1 if options.quick else 1.0

    ours: dict[str, Result] = {}
    peers: dict[str, Result] = {}
    for name in [name for name in MEASUREMENTS if not only or name in only]:
        ours[name] = shown(name, run_measurement(name, scale))
    for name in [name for name in PEERS if not only or name in only]:
        peers[name] = shown(name, run_peer(name, scale))
    if not only and not options.quick:
        write(DOCUMENT, ours, peers)
        print(f"written to {DOCUMENT}")
    return 1 if any("missing" in result for result in ours.values()) else 0


def shown(name: str, result: Result) -> Result:
    values = " ".join(
        f"{key}={value:,.1f}" if isinstance(value, float) else f"{key}={value}"
        for key, value in result.items()
    )
    print(f"{name:<16} {values}", flush=True)
    return result


sys.exit(main())
