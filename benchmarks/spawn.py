"""What durable inputs cost: how many a second one client spawns, each on disk before its id is returned.

python -m benchmarks.spawn [--inputs 100000]     prints one line of JSON for each way

The ways are those of the SDK (`spawn_map`, many `spawn.aio` under way, one blocking `spawn` after the other), and below
them the bare messages: single inputs, and a call of many.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import time
from typing import Any

import uvloop

from ionian.function_call import FunctionCall
from ionian.machine.state import StateFolder
from ionian.protocol.batch import Batch
from ionian.protocol.calls import GetOutputs, Spawn
from ionian.protocol.ids import new_id
from ionian.protocol.messages import Hello
from ionian.protocol.stream import Peer, dial
from ionian.protocol.wire import INPUTS
from ionian.serialization import dumps
from ionian.server.auth import local_token
from ionian.version import VERSION

from .measure import one_after_the_other
from .noop import app, nothing

IN_FLIGHT = 2000
"""Single inputs that are not acknowledged yet."""

CHUNK = 1000
"""Inputs of a call that are sent together."""


def through_the_sdk(count: int) -> dict[str, float]:
    """Inputs a second in one call, in single ones that are under way together, how many of their results are read a second
    once all are there, and how long a blocking spawn takes.

    Their results are waited for between the parts, outside the times.
    """
    nothing.remote(1)
    start = time.perf_counter()
    call = nothing.spawn_map(range(count))
    in_one_s = time.perf_counter() - start
    for expected, got in enumerate(call.iter()):
        if expected != got:
            raise AssertionError(f"expected result {expected}, got {got}")

    async def together(single: int) -> tuple[float, float]:
        numbers, calls = iter(range(single)), dict[int, FunctionCall[int]]()

        async def some() -> None:
            for number in numbers:
                calls[number] = await nothing.spawn.aio(number)

        start = time.perf_counter()
        await asyncio.gather(*(some() for _ in range(IN_FLIGHT)))
        spawned_s = time.perf_counter() - start
        made = [calls[number] for number in range(single)]
        await FunctionCall.gather.aio(*made)
        start = time.perf_counter()
        if await FunctionCall.gather.aio(*made) != list(range(single)):
            raise AssertionError("expected the results in the order of the calls")
        return spawned_s, time.perf_counter() - start

    single = max(100, count // 5)
    together_s, read_s = uvloop.run(together(single))
    one = one_after_the_other(nothing.spawn, max(20, count // 50))
    return {
        "inputs": float(count),
        "per_s": count / in_one_s,
        "single_per_s": single / together_s,
        "read_per_s": single / read_s,
        "p50_us": one["p50_us"],
        "p99_us": one["p99_us"],
    }


async def connected() -> Peer:
    """A client of this machine's server."""
    state = StateFolder.default()
    found: dict[str, Any] = json.loads((state.runtime / "server.json").read_text())
    peer = await dial(found["local"], Peer)
    await peer.request(Hello("client", local_token(state, "client"), VERSION, new_id("cl")))
    return peer


def inputs(call_id: str, start: int, count: int) -> bytes:
    """Inputs as one entry."""
    values = [dumps(((number,), {})) for number in range(start, start + count)]
    index = list(range(start, start + count))
    return Batch(call_id, index, [len(value) for value in values], b"".join(values)).pack(INPUTS)


async def singles(peer: Peer, function_id: str, count: int) -> dict[str, Any]:
    """As many calls of one input each, many of them under way."""
    room = asyncio.Semaphore(IN_FLIGHT)
    start = time.perf_counter()
    calls: list[str] = []
    answers: list[asyncio.Future[Any]] = []
    for _ in range(count):
        await room.acquire()
        call_id = new_id("fc")
        calls.append(call_id)
        answer = peer.request(Spawn(call_id, function_id), inputs(call_id, 0, 1))
        answer.add_done_callback(lambda _: room.release())
        answers.append(answer)
    await asyncio.gather(*answers)
    spawned_s = time.perf_counter() - start
    for call_id in calls[-10:]:
        await finished(peer, call_id, 0)
    return said("singles", count, spawned_s, time.perf_counter() - start)


async def many(peer: Peer, function_id: str, count: int) -> dict[str, Any]:
    """One call of as many inputs, in chunks."""
    start = time.perf_counter()
    call_id, under_way = new_id("fc"), list[asyncio.Future[Any]]()
    for at in range(0, count, CHUNK):
        size = min(CHUNK, count - at)
        last = at + size == count
        under_way.append(peer.request(Spawn(call_id, function_id, last=last), inputs(call_id, at, size)))
        if len(under_way) >= 8:
            await under_way.pop(0)
    await asyncio.gather(*under_way)
    spawned_s = time.perf_counter() - start
    await finished(peer, call_id, count - 1)
    return said("many", count, spawned_s, time.perf_counter() - start)


async def finished(peer: Peer, call_id: str, index: int) -> None:
    """Waits for a result."""
    while True:
        answer, payload = await peer.request(GetOutputs(call_id, index, 1, 30.0))
        if payload:
            return
        if answer.expired:
            raise AssertionError(f"expected a result of input {index} of {call_id}")


def said(name: str, count: int, spawned_s: float, done_s: float) -> dict[str, Any]:
    """A line of the result."""
    return {
        "name": name,
        "inputs": count,
        "spawned_per_s": round(count / spawned_s),
        "done_per_s": round(count / done_s),
    }


async def measure(function_id: str, count: int) -> None:
    """Both, one after the other."""
    peer = await connected()
    try:
        for one in (many, singles):
            print(json.dumps(await one(peer, function_id, count)), flush=True)
    finally:
        peer.disconnect()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--inputs", type=int, default=100_000)
    options = parser.parse_args()
    with app.run():
        print(json.dumps({"name": "sdk", **through_the_sdk(options.inputs)}), flush=True)
        uvloop.run(measure(nothing.object_id, options.inputs))


if __name__ == "__main__":
    main()
