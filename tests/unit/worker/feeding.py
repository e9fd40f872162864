"""A feed with a real process at the other end, which runs inputs as a container's agent does (runner_process.py)."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from ionian.protocol.batch import ERROR, OK, YIELD, Batch
from ionian.protocol.wire import RUN
from ionian.protocol.workers import Held
from ionian.serialization import dumps, load_failure, loads
from ionian.worker.cancellations import Cancellations
from ionian.worker.feed import Feed
from ionian.worker.packets import LargeResult

PROGRAM = Path(__file__).with_name("runner_process.py")
LARGE = 300_000
"""Bytes: more than a packet holds."""


class Container:
    """A process that runs inputs, and what came back from it."""

    def __init__(self, slots: int) -> None:
        self.rows: list[tuple[str, int, int, int, Any]] = []  # call, index, attempt, code, value
        self.back: list[Held] = []  # what it gave back
        self.feed = Feed(self._results, slots, self._gave_back)
        self._news = asyncio.Event()
        self.begun, self._begun_end = os.pipe()
        self._gate_end, self.gate = os.pipe()

    async def start(self, function: str, *how: int) -> None:
        descriptors = (self.feed.theirs.fileno(), self.feed.cell_fd, self._begun_end, self._gate_end)
        self.process = await asyncio.create_subprocess_exec(
            sys.executable, PROGRAM, *map(str, descriptors), function, *map(str, how), pass_fds=descriptors
        )
        self.cancellations = Cancellations(lambda: self.process.send_signal(signal.SIGUSR1))

    def give(self, call_id: str, values: dict[int, Any], attempt: int = 1) -> None:
        self.give_calls(call_id, {index: ((value,), {}) for index, value in values.items()}, attempt)

    def give_calls(self, call_id: str, inputs: dict[int, Any], attempt: int = 1) -> None:
        """Inputs with all their arguments."""
        payloads = [dumps(value) for value in inputs.values()]
        batch = Batch(
            call_id,
            list(inputs),
            [len(payload) for payload in payloads],
            b"".join(payloads),
            attempt=[attempt] * len(inputs),
        )
        self.feed.give(batch, batch.pack(RUN))

    async def results(self, count: int) -> list[tuple[str, int, int, int, Any]]:
        while len(self.rows) < count:
            self._news.clear()
            await self._news.wait()
        return self.rows

    async def has_begun(self, times: int = 1) -> None:
        for _ in range(times):
            assert await self.sign() == "+"

    async def sign(self) -> str:
        """The next letter that a function wrote: "+" for its beginning."""
        return (await asyncio.to_thread(os.read, self.begun, 1)).decode()

    async def cancel(self, call_id: str, *indexes: int) -> None:
        """Asks for the end of inputs as the worker does: again and again, until they have their results."""
        self.cancellations.add(call_id, list(indexes), float("inf"))
        while any(self.feed.holds(call_id, index) for index in indexes):
            self.cancellations.check(self.feed, 0)
            await asyncio.sleep(0.02)

    def open_gate(self, times: int = 1) -> None:
        os.write(self.gate, b"." * times)

    async def end(self) -> None:
        for fd in (self.gate, self._gate_end, self.begun, self._begun_end):
            os.close(fd)
        if self.process.returncode is None:
            self.process.kill()
        await self.process.wait()
        self.feed.close()

    def ask_back(self) -> None:
        """Asks for what waits behind the input that runs, as the worker does."""
        if self.feed.wants_back():
            self.process.send_signal(signal.SIGUSR1)

    async def gave_back(self) -> list[tuple[str, list[int]]]:
        """What it gives back, once it has."""
        while not self.back:
            self._news.clear()
            await self._news.wait()
        return held(self.back)

    def _gave_back(self, held: Held) -> None:
        self.back.append(held)
        self._news.set()

    def _results(self, batch: Batch) -> None:
        payloads = [batch.file.read()] if isinstance(batch, LargeResult) else batch.payloads()
        rows = zip(batch.index, batch.attempt, batch.code, payloads, strict=True)
        for index, attempt, code, payload in rows:
            value = (
                loads(payload) if code in (OK, YIELD) else load_failure(payload) if code == ERROR else None
            )
            self.rows.append((batch.call_id, index, attempt, code, value))
        self._news.set()


@asynccontextmanager
async def running(
    function: str, *, most: int = 1, size: int = 0, wait_ms: int = 0
) -> AsyncGenerator[Container]:
    """A container of a function of runner_process.py, with its concurrency and its batches."""
    container = Container(most * max(1, size))
    await container.start(function, most, size, wait_ms)
    try:
        yield container
    finally:
        await container.end()


def play(scene: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(asyncio.wait_for(scene(), 20))


def held(rows: list[Held]) -> list[tuple[str, list[int]]]:
    return [(row.call_id, list(row.index)) for row in rows]
