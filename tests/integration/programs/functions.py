"""Every way to call a function, from `ionian run`: prints what came back as one line of JSON."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import warnings
from collections.abc import AsyncIterator, Iterator

import ionian as modal

app = modal.App("functions")


@app.function(max_containers=2)
def plain(a: int, b: int = 10, *, c: int = 100) -> int:
    if a < 0:
        raise ValueError(f"{a} is below zero")
    return a + b + c


@app.function(max_containers=1)
async def coroutine(a: int) -> int:
    await asyncio.sleep(0)
    return a * 2


@app.function(max_containers=1)
def count(n: int, fail_at: int = -1) -> Iterator[int]:
    for number in range(n):
        if number == fail_at:
            raise KeyError(f"no {number}")
        yield number


@app.function(max_containers=1)
async def count_async(n: int) -> AsyncIterator[int]:
    for number in range(n):
        await asyncio.sleep(0)
        yield number


@app.function(max_containers=1)
def where() -> dict[str, object]:
    return {
        "local": modal.is_local(),
        "input": modal.current_input_id(),
        "call": modal.current_function_call_id(),
    }


@app.function(max_containers=1, serialized=True)
def by_value(a: int) -> int:
    return a + offset


offset = 7


def ended_by(run: object) -> str:
    try:
        run()  # type: ignore[operator]
    except BaseException as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def until_error(items: Iterator[int]) -> list[object]:
    """The items, and what ended them."""
    got: list[object] = []
    try:
        for item in items:
            got.append(item)
    except BaseException as error:
        got.append(f"{type(error).__name__}: {error}")
    return got


async def with_aio() -> dict[str, object]:
    seen: dict[str, object] = {}
    seen["remote"] = await plain.remote.aio(1, c=2)
    seen["together"] = list(await asyncio.gather(*[plain.remote.aio(n) for n in range(20)]))
    seen["map"] = [value async for value in plain.map.aio(range(5))]
    seen["starmap"] = [value async for value in plain.starmap.aio([(1, 2), (3, 4)], kwargs={"c": 0})]
    seen["for_each"] = await plain.for_each.aio(range(3))
    seen["remote_gen"] = [value async for value in count.remote_gen.aio(3)]
    seen["remote_gen_async"] = [value async for value in count_async.remote_gen.aio(3)]
    seen["blocking inside a loop"] = plain.remote(1)
    seen["blocking map inside a loop"] = list(plain.map([1, 2]))
    with contextlib.suppress(ValueError):
        await plain.remote.aio(-1)
        seen["raised"] = False
    return seen


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, object] = {}
    seen["remote"] = plain.remote(1)
    seen["remote with keywords"] = plain.remote(1, b=2, c=3)
    seen["local"] = plain.local(1, c=0)
    seen["called"] = ended_by(lambda: plain(1))
    seen["map"] = list(plain.map(range(4)))
    seen["map of two"] = list(plain.map([1, 2, 3], [10, 20]))
    seen["map with kwargs"] = list(plain.map([1], kwargs={"b": 0, "c": 0}))
    seen["unordered"] = sorted(plain.map(range(500), order_outputs=False)) == [n + 110 for n in range(500)]
    seen["starmap"] = list(plain.starmap([(1, 2), (3,)]))
    seen["for_each"] = plain.for_each(range(3))
    seen["empty"] = [list(plain.map([])), list(plain.starmap([])), plain.for_each(iter(()))]
    seen["of nothing"] = ended_by(lambda: plain.map())
    seen["raises"] = ended_by(lambda: plain.remote(-1))
    seen["exceptions"] = [repr(value) for value in plain.map([1, -2, 3], return_exceptions=True)]
    seen["map raises"] = until_error(iter(plain.map([1, 2, -3, 4])))
    seen["for_each raises"] = ended_by(lambda: plain.for_each([1, -2]))
    seen["for_each ignores"] = plain.for_each([1, -2], ignore_exceptions=True)
    seen["coroutine"] = [coroutine.remote(4), *coroutine.map([1, 2])]
    seen["coroutine, here"] = asyncio.run(coroutine.local(4))
    seen["generator"] = list(count.remote_gen(4))
    seen["generator of 3000"] = list(count.remote_gen(3000)) == list(range(3000))
    seen["generator of none"] = list(count.remote_gen(0))
    seen["generator that fails"] = until_error(count.remote_gen(10, fail_at=3))
    seen["generator, left early"] = next(iter(count.remote_gen(10**9)))
    seen["generator after it"] = list(count.remote_gen(2))
    seen["generator, here"] = list(count.local(3))
    seen["async generator"] = list(count_async.remote_gen(4))
    seen["remote of a generator"] = ended_by(lambda: count.remote(1))
    seen["remote_gen of a function"] = ended_by(lambda: plain.remote_gen(1))
    seen["map of a generator"] = ended_by(lambda: list(count.map([1])))
    seen["by value"] = by_value.remote(1)
    seen["aio"] = asyncio.run(with_aio())
    seen["here"] = [modal.is_local(), modal.current_input_id(), modal.current_function_call_id()]
    seen["there"] = where.remote()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        plain.map([1])
        gc.collect()
    seen["never read"] = [str(one.message) for one in caught]
    print("SEEN " + json.dumps(seen), flush=True)
