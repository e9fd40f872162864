"""Functions called from inside containers, from `ionian run`: prints what came back as one line of JSON."""

from __future__ import annotations

import asyncio
import hashlib
import json
import threading
from collections.abc import Iterator

import ionian as modal

app = modal.App("nested")
MIB = 1 << 20


@app.function(max_containers=1)
def double(number: int) -> int:
    if number < 0:
        raise LookupError(f"{number} is below zero")
    return 2 * number


@app.function(max_containers=1)
def letters(n: int) -> Iterator[str]:
    for number in range(n):
        yield chr(ord("a") + number)


@app.function(max_containers=1)
def digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


@app.function(max_containers=1)
def filled(size: int, byte: int = 1) -> bytes:
    return bytes([byte]) * size


@app.function()
def factorial(n: int) -> int:
    return 1 if n < 2 else n * factorial.remote(n - 1)


@app.function()
def outer() -> dict[str, object]:
    seen: dict[str, object] = {}
    seen["remote"] = double.remote(4)
    seen["local"] = double.local(4)
    seen["map"] = list(double.map(range(1000))) == [2 * n for n in range(1000)]
    seen["unordered"] = sorted(double.map(range(300), order_outputs=False)) == [2 * n for n in range(300)]
    seen["starmap"] = list(double.starmap([(1,), (2,)]))
    seen["for_each"] = double.for_each([1, 2])
    seen["remote_gen"] = list(letters.remote_gen(3))
    seen["left early"] = next(iter(letters.remote_gen(20)))
    try:
        double.remote(-1)
    except LookupError as error:
        seen["raises"] = str(error)
    seen["exceptions"] = [repr(value) for value in double.map([1, -1], return_exceptions=True)]
    seen["sizes there"] = {
        size: digest.remote(bytes(size)) == hashlib.sha256(bytes(size)).hexdigest()
        for size in (0, 100_000, 2 * MIB, 2 * MIB + 1, 5 * MIB)
    }
    seen["sizes back"] = {
        size: filled.remote(size) == b"\1" * size for size in (0, 100_000, 2 * MIB, 2 * MIB + 1, 5 * MIB)
    }
    seen["big map"] = [len(value) for value in filled.map([3 * MIB, 10, 4 * MIB])]
    seen["ids"] = [modal.current_input_id(), modal.current_function_call_id()]
    seen["aio"] = asyncio.run(with_aio())
    seen["threads"] = from_threads()
    return seen


async def with_aio() -> dict[str, object]:
    return {
        "together": await asyncio.gather(*[double.remote.aio(n) for n in range(20)]),
        "map": [value async for value in double.map.aio(range(5))],
        "remote_gen": [value async for value in letters.remote_gen.aio(3)],
    }


def from_threads() -> list[int]:
    results: dict[int, int] = {}

    def ask(number: int) -> None:
        results[number] = double.remote(number)

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[number] for number in range(8)]


@app.function(max_containers=1)
async def outer_async() -> list[int]:
    first = await double.remote.aio(1)
    return [first, double.remote(2), *[value async for value in double.map.aio([3, 4])]]


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, object] = {"outer": outer.remote(), "outer_async": outer_async.remote()}
    seen["factorial"] = factorial.remote(4)
    seen["sizes there"] = {
        size: digest.remote(bytes(size)) == hashlib.sha256(bytes(size)).hexdigest()
        for size in (100_000, 2 * MIB, 2 * MIB + 1, 20 * MIB)
    }
    seen["sizes back"] = {
        size: filled.remote(size) == b"\1" * size for size in (100_000, 2 * MIB, 2 * MIB + 1, 20 * MIB)
    }
    seen["mixed sizes"] = [len(value) for value in filled.map([1, 3 * MIB, 70_000] * 5)]
    print("SEEN " + json.dumps(seen), flush=True)
