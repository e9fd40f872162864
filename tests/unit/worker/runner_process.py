"""The program of test_feed.py: runs inputs as a container's agent does, without a container.

python runner_process.py DATA_FD CELL_FD BEGUN_FD GATE_FD FUNCTION
"""

from __future__ import annotations

import asyncio
import mmap
import os
import socket
import sys
from collections.abc import AsyncIterator, Iterator

from ionian.container.lifecycle import Callables
from ionian.container.results import Results
from ionian.container.run import Runner
from ionian.container.signals import leading_to
from ionian.container.wire import Packets

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


def main() -> None:
    packets = Packets(socket.socket(fileno=DATA))
    cell = mmap.mmap(CELL, 0)
    function = globals()[sys.argv[5]]
    callables = Callables(function, is_generator=False)
    results = Results(packets, "ta-1", "/nowhere/")
    runner = Runner(packets, cell, results, callables)
    with leading_to(runner):
        runner.serve()


main()
