"""Spawned calls: begun, asked for from other processes and containers, cancelled, looked into. Prints what came back as
one line of JSON."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any

import modal

app = modal.App("spawning")


class Refusal(Exception):
    """What a function here raises."""


@app.function()
def square(n: int, times: int = 1) -> int:
    return n * n * times


@app.function()
def fail(n: int) -> int:
    raise Refusal(f"no {n}")


@app.function()
def wait_for(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@app.function()
def length(data: bytes) -> bytes:
    return data[:-1]


@app.function()
def items(n: int) -> Iterator[int]:
    yield from range(n)


@app.function()
def nested(n: int) -> tuple[int, str]:
    call = square.spawn(n)
    return call.get(timeout=60), call.object_id


@app.function()
async def nested_async(n: int) -> list[int]:
    calls = [await square.spawn.aio(number) for number in range(n)]
    return await modal.FunctionCall.gather.aio(*calls)


@app.function()
def ask(call: modal.FunctionCall[int]) -> int:
    return call.get(timeout=60)


seen: dict[str, Any] = {}


def singles() -> None:
    call = square.spawn(7, times=2)
    seen["id"] = call.object_id[:3]
    seen["result"] = call.get(timeout=60)
    seen["again"] = call.get()
    seen["by id"] = modal.FunctionCall.from_id(call.object_id).get()
    seen["inputs"] = modal.FunctionCall.from_id(call.object_id).num_inputs()
    large = b"x" * (5 << 20)
    seen["large"] = len(length.spawn(large).get(timeout=60))
    seen["in a container"] = nested.remote(3)[0]
    seen["async in a container"] = nested_async.remote(20) == [n * n for n in range(20)]
    seen["passed on"] = ask.remote(square.spawn(5))


def failures() -> None:
    try:
        fail.spawn(3).get(timeout=60)
    except Refusal as error:
        seen["its own exception"] = str(error)
    slow = wait_for.spawn(600)
    for timeout in (0, 0.2):
        try:
            slow.get(timeout=timeout)
        except TimeoutError as error:
            seen.setdefault("not yet", []).append(isinstance(error, modal.exception.TimeoutError))
    while not any("running" in reason for reason in slow.why()):
        time.sleep(0.05)
    slow.cancel(terminate_containers=True)
    try:
        slow.get(timeout=60)
    except modal.exception.RemoteError as error:
        seen["cancelled"] = str(error)
    try:
        modal.FunctionCall.from_id("fc-01JDZX0000000000000000000A").get()
    except modal.exception.NotFoundError as error:
        seen["unknown"] = "there is no spawned call" in str(error)
    try:
        modal.FunctionCall.gather(square.spawn(2), fail.spawn(9), wait_for.spawn(600))
    except Refusal as error:
        seen["gathered failure"] = str(error)
    try:
        items.spawn(3)
    except modal.exception.InvalidError as error:
        seen["generator"] = "remote_gen" in str(error)


def maps() -> None:
    call = square.spawn_map(range(2500), kwargs={"times": 3})
    seen["of the map"] = call.num_inputs()
    seen["one of it"] = call.get(timeout=60, index=2000)
    seen["all of it"] = list(call.iter()) == [3 * n * n for n in range(2500)]
    seen["a part of it"] = list(call.iter(start=10, end=13))
    seen["a later part"] = list(modal.FunctionCall.from_id(call.object_id).iter(start=2498))
    try:
        call.get(index=2500)
    except modal.exception.InvalidError as error:
        seen["past the end"] = "2499" in str(error)
    seen["gathered"] = modal.FunctionCall.gather(*[square.spawn(n) for n in range(5)])
    seen["nothing"] = list(square.spawn_map([]).iter())


def graph() -> None:
    call = nested.spawn(4)
    call.get(timeout=60)
    (root,) = call.get_call_graph()
    seen["root"] = (root.function_name, root.status.name, root.function_call_id == call.object_id)
    seen["children"] = [(child.function_name, child.status.name) for child in root.children]


async def asynchronous() -> None:
    async def numbers() -> AsyncIterator[int]:
        for n in range(40):
            yield n

    call = await square.spawn.aio(6)
    seen["async result"] = await call.get.aio(timeout=60)
    mapped = await square.spawn_map.aio(numbers())
    seen["async map"] = [value async for value in mapped.iter.aio()] == [n * n for n in range(40)]
    await call.cancel.aio()
    seen["async inputs"] = await mapped.num_inputs.aio()


@app.local_entrypoint()
def main() -> None:
    singles()
    failures()
    maps()
    graph()
    asyncio.run(asynchronous())
    print("SEEN", json.dumps(seen))
