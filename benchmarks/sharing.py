"""Operations on dicts and queues in one container. This module runs there, so it needs the image's Python alone."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any

import ionian

app = ionian.App("benchmark-objects")
image = ionian.Image.debian_slim(python_version="3.11")

IN_FLIGHT = 64
VALUE = "x" * 100

Operation = Callable[[int], Awaitable[Any]]


async def at_once(operation: Operation, count: int) -> float:
    """Operations a second, 64 of them under way at each moment."""
    numbers = iter(range(count))

    async def some() -> None:
        for number in numbers:
            await operation(number)

    start = time.perf_counter()
    await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))
    return count / (time.perf_counter() - start)


def one_by_one(operation: Callable[[int], Any], count: int) -> tuple[float, float]:
    """How long one takes, in µs: p50 and p99."""
    taken: list[float] = []
    for number in range(count):
        start = time.perf_counter()
        operation(number)
        taken.append(1e6 * (time.perf_counter() - start))
    taken.sort()
    return taken[count // 2], taken[int(0.99 * count)]


@app.function(image=image, max_containers=1, timeout=600)
def measure(count: int, single: int) -> dict[str, float]:
    """The rates of four operations, and how long one takes."""
    with ionian.Dict.ephemeral() as d, ionian.Queue.ephemeral() as q:

        async def rates() -> dict[str, float]:
            await at_once(lambda n: d.put.aio(n, VALUE), count // 10)
            found = {
                "put": await at_once(lambda n: d.put.aio(n, VALUE), count),
                "get": await at_once(lambda n: d.get.aio(n), count),
                "push": await at_once(lambda n: q.put.aio(VALUE), count),
                "take": await at_once(lambda n: q.get.aio(), count),
            }
            assert await d.len.aio() == count
            assert await q.len.aio() == 0
            return found

        found = asyncio.run(rates())
        single_ones: dict[str, Callable[[int], Any]] = {
            "put": lambda n: d.put(n, VALUE),
            "get": d.get,
            "push": lambda n: q.put(VALUE),
            "take": lambda n: q.get(),
        }
        for name, operation in single_ones.items():
            found[f"{name}_p50_us"], found[f"{name}_p99_us"] = one_by_one(operation, single)
    return found
