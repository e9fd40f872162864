# pyright: basic, reportMissingImports=false
"""Durable operations on a dict and a queue from one container, beside Redis that syncs each write, in turns on one disk.

python -m benchmarks.objects [--count 20000] [--single 500] [--rounds 3]      prints a table

Redis' client is a plain process (redis-py, its asyncio client for many at once). Both keep what was acknowledged over a
power cut.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from statistics import median

from .peers import free_port, wait_for_port
from .sharing import IN_FLIGHT, VALUE, at_once, one_by_one

OPERATIONS = {"put": "dict: put", "get": "dict: get", "push": "queue: put", "take": "queue: get"}


@contextmanager
def redis_server(folder: Path) -> Generator[int]:
    """A Redis that syncs each write; its port."""
    port = free_port()
    options = ("--appendonly", "yes", "--appendfsync", "always", "--save", "", "--dir", str(folder))
    command = ("redis-server", "--port", str(port), "--bind", "127.0.0.1", *options)
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for_port(port)
        yield port
    finally:
        process.terminate()
        process.wait()


def of_redis(port: int, count: int, single: int) -> dict[str, float]:
    """The same operations with Redis: SET, GET, RPUSH, LPOP."""
    import redis
    import redis.asyncio

    async def rates() -> dict[str, float]:
        pool = redis.asyncio.BlockingConnectionPool(port=port, max_connections=IN_FLIGHT)
        client = redis.asyncio.Redis(connection_pool=pool)
        await client.flushall()
        await at_once(lambda n: client.set(n, VALUE), count // 10)
        found = {
            "put": await at_once(lambda n: client.set(n, VALUE), count),
            "get": await at_once(lambda n: client.get(n), count),
            "push": await at_once(lambda n: client.rpush("q", VALUE), count),
            "take": await at_once(lambda n: client.lpop("q"), count),
        }
        await client.aclose()
        return found

    found = asyncio.run(rates())
    client = redis.Redis(port=port)
    for name, operation in (
        ("put", lambda n: client.set(n, VALUE)),
        ("get", lambda n: client.get(n)),
        ("push", lambda n: client.rpush("q", VALUE)),
        ("take", lambda n: client.lpop("q")),
    ):
        found[f"{name}_p50_us"], found[f"{name}_p99_us"] = one_by_one(operation, single)
    return found


def of_the_disk(folder: Path, single: int) -> float:
    """How long a write of 100 bytes with its sync takes, p50 in µs: what no durable operation is quicker than."""
    with (folder / "synced").open("wb", buffering=0) as file:

        def write(_: int) -> None:
            file.write(VALUE.encode())
            os.fdatasync(file.fileno())

        return one_by_one(write, single)[0]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=20_000)
    parser.add_argument("--single", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--redis", type=int, default=0, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.redis:
        print(json.dumps(of_redis(options.redis, options.count, options.single)))
        return
    from ionian.machine.state import StateFolder

    from .sharing import app, measure

    folder = Path(tempfile.mkdtemp(prefix="redis-", dir=StateFolder.default().blobs.parent))
    ours: list[dict[str, float]] = []
    theirs: list[dict[str, float]] = []
    disk: list[float] = []
    try:
        with app.run(), redis_server(folder) as port:
            measure.remote(1000, 50)
            for _ in range(options.rounds):
                disk.append(of_the_disk(folder, options.single))
                ours.append(measure.remote(options.count, options.single))
                command = [sys.executable, "-m", "benchmarks.objects", "--redis", str(port)]
                command += ["--count", str(options.count), "--single", str(options.single)]
                done = subprocess.run(command, capture_output=True, text=True, check=True)
                theirs.append(json.loads(done.stdout))
                time.sleep(0.5)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(table(ours, theirs))
    print(f"a write with its sync, p50: {median(disk):,.0f} µs; medians of {options.rounds} rounds")


def table(ours: list[dict[str, float]], theirs: list[dict[str, float]]) -> str:
    """Medians of the rounds, side by side."""

    def value(rounds: list[dict[str, float]], key: str) -> str:
        return f"{median(each[key] for each in rounds):,.0f}"

    lines = [
        f"| | operations/s, {IN_FLIGHT} under way | Redis | one, p50 | p99 | Redis, p50 | p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    for key, title in OPERATIONS.items():
        times = [f"{value(of, f'{key}_{p}_us')} µs" for of in (ours, theirs) for p in ("p50", "p99")]
        lines.append(f"| {title} | {value(ours, key)} | {value(theirs, key)} | {' | '.join(times)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
