"""The program of feeding.py: runs inputs as a container's agent does, without a container.

python runner_process.py DATA_FD CELL_FD BEGUN_FD GATE_FD FUNCTION MOST SIZE WAIT_MS
"""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
import sys
import threading
import time
from collections.abc import AsyncIterator, Iterator

from ionian import execution
from ionian.container.batched import BatchedRunner
from ionian.container.concurrent import ConcurrentRunner
from ionian.container.lifecycle import Callables
from ionian.container.results import Results
from ionian.container.run import Runner
from ionian.container.signals import leading_to
from ionian.container.wire import Packets
from ionian.exception import InputCancellation
from ionian.protocol.slots import Slots

DATA, CELL, BEGUN, GATE = (int(word) for word in sys.argv[1:5])


def hold(value: object) -> object:
    """Says that it has begun, and goes on when the gate is opened."""
    os.write(BEGUN, b"+")
    os.read(GATE, 1)
    return value


def echo(value: object) -> object:
    if value == "bad":
        raise ValueError("a bad one")
    if value == "exit":
        sys.exit(3)
    if value == "lambda":
        return (n for n in range(3))
    if isinstance(value, int):
        return bytes(value)
    return value


async def later(value: object) -> object:
    await asyncio.sleep(0)
    return value


def letters(n: int) -> Iterator[str]:
    for number in range(n):
        if number == 5:
            raise ValueError("no sixth letter")
        yield chr(ord("a") + number)


async def letters_async(n: int) -> AsyncIterator[str]:
    for number in range(n):
        await asyncio.sleep(0)
        yield chr(ord("a") + number)


async def hold_async(value: object) -> object:
    """The same for the loop."""
    os.write(BEGUN, b"+")
    await gate()
    return value


async def gate() -> None:
    """Waits until the gate is opened, as long as others may run."""
    asyncio.get_running_loop().add_reader(GATE, opened)
    event = asyncio.Event()
    gates.append(event)
    try:
        await event.wait()
    finally:
        gates.remove(event)


gates: list[asyncio.Event] = []


def opened() -> None:
    os.read(GATE, 1)
    next(event for event in gates if not event.is_set()).set()


def cleaning(value: object) -> object:
    """Says what it does when it is interrupted."""
    try:
        return hold(value)
    except InputCancellation:
        os.write(BEGUN, b"i")
        raise
    finally:
        os.write(BEGUN, b"f")


def cleaning_long(value: object) -> object:
    """Sleeps in small pieces, as a thread has to where it shall be interrupted."""
    try:
        os.write(BEGUN, b"+")
        while True:
            time.sleep(0.01)
    finally:
        os.write(BEGUN, b"f")


async def cleaning_async(value: object) -> object:
    try:
        return await hold_async(value)
    except asyncio.CancelledError:
        os.write(BEGUN, b"i")
        await asyncio.sleep(0)
        raise
    finally:
        os.write(BEGUN, b"f")


def cleaning_items(value: object) -> Iterator[object]:
    yield "first"
    yield cleaning(value)


async def cleaning_items_async(value: object) -> AsyncIterator[object]:
    yield "first"
    yield await cleaning_async(value)


def stubborn(value: object) -> object:
    """Is interrupted, and returns a result all the same."""
    try:
        return hold(value)
    except InputCancellation:
        return "a result"


def mine(value: object) -> object:
    """Which input this is, before and after others have begun."""
    before = execution.current_input_id()
    hold(value)
    return before, execution.current_input_id()


async def mine_async(value: object) -> object:
    before = execution.current_input_id()
    await hold_async(value)
    return before, execution.current_input_id(), await asyncio.to_thread(execution.current_input_id)


def listed(values: list[object]) -> object:
    """A batched function."""
    if "hold" in values:
        hold(values)
    if "bad" in values:
        raise ValueError("a bad one")
    if "short" in values:
        return values[:-1]
    if "text" in values:
        return "x" * len(values)
    if "tuple" in values:
        return tuple(values)
    return [(value, len(values), threading.current_thread() is threading.main_thread()) for value in values]


async def listed_async(values: list[object]) -> object:
    if "hold" in values:
        await cleaning_async(values)
    return [(value, len(values)) for value in values]


def unpicklable(values: list[object]) -> list[object]:
    return [(n for n in range(3)) if value == "lambda" else value for value in values]


def added(a: list[int], b: list[int]) -> list[int]:
    return [x + y for x, y in zip(a, b, strict=True)]


def main() -> None:
    packets = Packets(socket.socket(fileno=DATA))
    cell = mmap.mmap(CELL, 0)
    callables = Callables(globals()[sys.argv[5]], is_generator=False)
    results = Results(packets, "ta-1", "/nowhere/")
    most, size, wait_ms = (int(word) for word in sys.argv[6:9])
    if size:
        runner = BatchedRunner(packets, Slots(cell), results, callables, size, wait_ms, most)
    elif most > 1:
        runner = ConcurrentRunner(packets, Slots(cell), results, callables, most)
    else:
        runner = Runner(packets, cell, results, callables)
    with leading_to(runner):
        runner.serve()


main()
