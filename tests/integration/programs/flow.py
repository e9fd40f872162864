"""How `map` reads its inputs and gives its results, from `ionian run`: prints what it saw as one line of JSON."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import resource
import time
from collections.abc import AsyncIterator, Iterator

import ionian as modal

app = modal.App("flow")
marks = modal.Volume.from_name("flow-marks", create_if_missing=True)


@app.function(max_containers=2, volumes={"/marks": marks})
def work(number: int, seconds: float = 0.0) -> int:
    if seconds:
        time.sleep(seconds)
    with open("/marks/ran", "ab") as file:
        file.write(b".")
    return number


@app.function(max_containers=1, volumes={"/marks": marks})
def big(number: int) -> bytes:
    with open("/marks/ran", "ab") as file:
        file.write(b".")
    return bytes(1 << 20)


@app.function(max_containers=1, volumes={"/marks": marks})
def ran() -> int:
    open("/marks/ran", "ab").close()
    try:
        return os.path.getsize("/marks/ran")
    finally:
        open("/marks/ran", "wb").close()


@app.function(max_containers=1, volumes={"/marks": marks})
def size() -> int:
    """How often `work` ran since `ran` was asked."""
    return os.path.getsize("/marks/ran")


class Source:
    """An endless iterator that tells how far it was read, and whether it was closed."""

    def __init__(self) -> None:
        self.read = 0
        self.closed = False

    def numbers(self, end: int | None = None) -> Iterator[int]:
        try:
            for number in itertools.count():
                if number == end:
                    raise OSError("the source is broken")
                self.read += 1
                yield number
        finally:
            self.closed = True

    async def numbers_async(self, end: int | None = None, pause_s: float = 0.0) -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                if number == end:
                    raise OSError("the source is broken")
                self.read += 1
                await asyncio.sleep(pause_s)
                yield number
        finally:
            self.closed = True


def resident_mib() -> float:
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * resource.getpagesize() / (1 << 20)


def endless(seen: dict[str, object]) -> None:
    source = Source()
    got: list[int] = []
    for value in work.map(source.numbers(), kwargs={"seconds": 0.005}):
        got.append(value)
        if len(got) == 100:
            break
    seen["endless, in order"] = got == list(range(100))
    seen["endless, read"] = source.read
    seen["endless, closed"] = source.closed
    seen["endless, ran"] = ran.remote()


def broken(seen: dict[str, object]) -> None:
    for name, ordered in (("broken", True), ("broken, unordered", False)):
        source = Source()
        got: list[int] = []
        try:
            for value in work.map(source.numbers(end=42), order_outputs=ordered):
                got.append(value)
        except OSError as error:
            seen[name] = [sorted(got) == list(range(42)), str(error), source.closed]


def slow_consumer(seen: dict[str, object]) -> None:
    source = Source()
    values = iter(work.map(source.numbers()))
    next(values)
    before = -1
    while source.read != before:  # until everything that was read ahead has come
        before = source.read
        time.sleep(0.2)
    seen["slow consumer, read"] = source.read
    seen["slow consumer, next"] = [next(values) for _ in range(3)]
    values.close()  # type: ignore[attr-defined]
    ran.remote()


def big_results(seen: dict[str, object]) -> None:
    ran.remote()
    before = resident_mib()
    values = iter(big.map(range(400)))
    total = len(next(values))
    while size.remote() < 400:  # the rest comes while nobody takes it
        time.sleep(0.05)
    seen["big results, MiB held"] = resident_mib() - before
    for value in values:
        total += len(value)
    seen["big results, MiB"] = total >> 20
    seen["big results, MiB after"] = resident_mib() - before


def slow_source(seen: dict[str, object]) -> None:
    """An iterator that gives the next item only when the container has run the one before."""

    def items() -> Iterator[int]:
        for number in range(3):
            while size.remote() < number:
                time.sleep(0.01)
            yield number

    ran.remote()
    seen["slow source"] = list(work.map(items(), order_outputs=False))


async def asynchronous(seen: dict[str, object]) -> None:
    source = Source()
    got: list[int] = []
    values = work.map.aio(source.numbers_async(), kwargs={"seconds": 0.005})
    async for value in values:
        got.append(value)
        if len(got) == 100:
            break
    await values.aclose()  # type: ignore[attr-defined]
    seen["endless async, in order"] = got == list(range(100))
    seen["endless async, read"] = source.read
    seen["endless async, closed"] = source.closed
    source = Source()
    got = []
    try:
        async for value in work.map.aio(source.numbers_async(end=42)):
            got.append(value)
    except OSError as error:
        seen["broken async"] = [got == list(range(42)), str(error), source.closed]
    source = Source()
    got = []
    try:
        async for value in work.map.aio(source.numbers(end=42)):
            got.append(value)
    except OSError as error:
        seen["broken, read by aio"] = [got == list(range(42)), str(error), source.closed]
    try:
        async for _ in work.map.aio(unpicklable()):
            pass
    except modal.exception.SerializationError as error:
        seen["unpicklable async"] = str(error)


async def unpicklable() -> AsyncIterator[object]:
    yield 1
    yield (n for n in range(3))
    await asyncio.sleep(0.1)
    yield 3


@app.local_entrypoint()
def main(only: str = "") -> None:
    ran.remote()
    seen: dict[str, object] = {}
    for part in (endless, broken, slow_consumer, slow_source, big_results):
        if only in part.__name__:
            part(seen)
    if only in "asynchronous":
        asyncio.run(asynchronous(seen))
    seen["unzipped"] = list(work.map(itertools.count(), [0.0, 0.01]))
    print("SEEN " + json.dumps(seen), flush=True)
