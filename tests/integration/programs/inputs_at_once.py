"""Several inputs at once in one container. Prints what it saw as one line of JSON."""

import asyncio
import contextvars
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator

import ionian as modal

app = modal.App("inputs-at-once", image=modal.Image.debian_slim(python_version="3.11"))
together = threading.Barrier(4)
kept: contextvars.ContextVar[int] = contextvars.ContextVar("kept", default=-1)
arrived: list[int] = []
all_here = asyncio.Event()


@app.function(max_containers=1)
@modal.concurrent(max_inputs=4)
def in_threads(number: int) -> list[object]:
    before = modal.current_input_id()
    kept.set(number)
    together.wait(30)  # passes only where four run at once
    return [
        number,
        os.getpid(),
        before,
        modal.current_input_id(),
        kept.get(),
        modal.current_function_call_id(),
    ]


@app.function(max_containers=1)
@modal.concurrent(max_inputs=4)
async def on_the_loop(number: int) -> list[object]:
    before = modal.current_input_id()
    kept.set(number)
    arrived.append(number)
    if len(arrived) == 4:
        all_here.set()
    await asyncio.wait_for(all_here.wait(), 30)
    there = await asyncio.to_thread(modal.current_input_id)
    return [number, os.getpid(), before, there, kept.get(), modal.current_function_call_id()]


@app.function(max_containers=1)
@modal.concurrent(max_inputs=3)
def items(count: int) -> Iterator[str]:
    for number in range(count):
        yield f"{modal.current_input_id()} {number}"


@app.function(max_containers=1)
@modal.concurrent(max_inputs=3)
async def items_async(count: int) -> AsyncIterator[str]:
    for number in range(count):
        await asyncio.sleep(0)
        yield f"{modal.current_input_id()} {number}"


@app.function(max_containers=1)
@modal.concurrent(max_inputs=50)
async def fails_sometimes(number: int) -> int:
    await asyncio.sleep(0.001 * (number % 7))
    if number % 10 == 3:
        raise ValueError(f"{number} ends in 3")
    return number


@app.function()
@modal.concurrent(max_inputs=10)
def calls_others(number: int) -> int:
    return number + sum(on_threes.map(range(number)))


@app.function()
def on_threes(number: int) -> int:
    return 3 * number


def outcome(value: object) -> str:
    return f"{type(value).__name__}: {value}" if isinstance(value, Exception) else str(value)


@app.local_entrypoint()
def main() -> None:
    seen: dict[str, object] = {}
    seen["threads"] = list(in_threads.map(range(4)))
    seen["loop"] = list(on_the_loop.map(range(4)))

    async def generate(function: object) -> list[list[str]]:
        async def one(count: int) -> list[str]:
            return [item async for item in function.remote_gen.aio(count)]

        return list(await asyncio.gather(*(one(count) for count in (3, 50, 0, 7))))

    seen["generators"] = asyncio.run(generate(items))
    seen["async generators"] = asyncio.run(generate(items_async))
    seen["failures"] = [outcome(value) for value in fails_sometimes.map(range(200), return_exceptions=True)]
    seen["nested"] = list(calls_others.map(range(12)))
    print("SEEN", json.dumps(seen))
