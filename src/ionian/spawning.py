"""`.spawn` and `.spawn_map`: inputs that the server has on its disk before the caller goes on."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Iterable, Iterator
from typing import TYPE_CHECKING, Any

from . import function_call
from . import link as links
from .call import ENTRY_BYTES, pack_inputs, parent_input
from .mapping import aiterator
from .protocol.batch import BLOB
from .protocol.calls import Spawn
from .protocol.ids import new_id
from .protocol.wire import MAX_INLINE
from .steps import Blocking, Steps, run, run_async
from .trace_context import traceparent

if TYPE_CHECKING:
    from .function import Function
    from .function_call import FunctionCall

    AnyFunction = Function[..., Any, Any]

CHUNK = 1000
"""Inputs in one request: what it costs to have them on disk is shared by them."""

CHUNK_S = 0.02
"""Inputs that come more slowly are sent before that many are there: the first ones begin to run meanwhile."""


class Spawning:
    """A call that is being spawned: its inputs, a chunk at a time."""

    def __init__(self, function: AnyFunction) -> None:
        self.call_id = new_id("fc")
        self.sent = 0
        self._function = function
        self._parent = parent_input()
        self._trace = traceparent()

    def put(self, payloads: list[bytes], *, last: bool) -> Steps[None]:
        """Sends inputs; the server has them on disk when this returns. The same ids are sent again where the answer
        got lost."""
        codes = [0] * len(payloads)
        for at, payload in enumerate(payloads):
            if len(payload) > MAX_INLINE:
                digest = yield Blocking(lambda content=payload: links.current().store_blob(content))
                payloads[at], codes[at] = f"{digest} {len(payload)}".encode(), BLOB
        index = range(self.sent, self.sent + len(payloads))
        message = Spawn(
            self.call_id,
            self._function.function_id,
            self._parent,
            tag=self._function.tag,
            last=last,
            trace=self._trace,
        )
        yield message, pack_inputs(self.call_id, index, codes, payloads)
        self.sent += len(payloads)

    def hydrate(self) -> Steps[None]:
        """The function has its id."""
        if not self._function.function_id:
            yield Blocking(self._function.hydrate)
        self._function.hydrate()

    def made(self) -> FunctionCall[Any]:
        """The call, once the server has all of it."""
        return function_call.made(self.call_id, self.sent)


def spawn(function: AnyFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Steps[FunctionCall[Any]]:
    """Begins a call of one input."""
    payload = function.payload(args, kwargs)
    spawning = Spawning(function)
    yield from spawning.hydrate()
    yield from spawning.put([payload], last=True)
    return spawning.made()


class _Chunks:
    """The inputs of a map, read from its rows: few at first and more where these come quickly."""

    def __init__(self, function: AnyFunction, kwargs: dict[str, Any]) -> None:
        self.spawning = Spawning(function)
        self.size = 1
        self._function = function
        self._kwargs = kwargs
        self._begun = 0.0
        self._bytes = 0
        self._payloads: list[bytes] = []

    def add(self, row: tuple[Any, ...]) -> bool:
        """Takes an input; whether it is time to send. Raises SerializationError."""
        if not self._payloads:
            self._begun = time.monotonic()
        number = self.spawning.sent + len(self._payloads)
        what = f"the argument of {self._function.tag}, number {number} of its inputs (from 0),"
        payload = self._function.payload(row, self._kwargs, what)
        self._payloads.append(payload)
        self._bytes += min(len(payload), MAX_INLINE)
        return len(self._payloads) >= self.size or self._bytes >= ENTRY_BYTES

    def send(self, *, last: bool = False) -> Steps[None]:
        """Sends what was taken."""
        quick = time.monotonic() - self._begun < CHUNK_S
        self.size = min(2 * self.size, CHUNK) if quick else 1
        payloads, self._payloads, self._bytes = self._payloads, [], 0
        yield from self.spawning.put(payloads, last=last)


def spawn_map(
    function: AnyFunction, iterables: tuple[Iterable[Any], ...], kwargs: dict[str, Any]
) -> FunctionCall[Any]:
    """Begins a call of many inputs, one for each of the zipped items."""
    chunks = _Chunks(function, kwargs)
    run(chunks.spawning.hydrate())
    rows: Iterator[tuple[Any, ...]] = zip(*iterables, strict=False)
    try:
        for row in rows:
            if chunks.add(row):
                run(chunks.send())
    finally:  # where an iterator fails, what was read before it runs, as in a map
        run(chunks.send(last=True))
    return chunks.spawning.made()


async def spawn_map_async(
    function: AnyFunction, iterables: tuple[Any, ...], kwargs: dict[str, Any]
) -> FunctionCall[Any]:
    """The same for a coroutine; the iterables may be asynchronous ones."""
    chunks = _Chunks(function, kwargs)
    await run_async(chunks.spawning.hydrate())
    try:
        async for row in _zipped(iterables):
            if chunks.add(row):
                await run_async(chunks.send())
    finally:
        await run_async(chunks.send(last=True))
    return chunks.spawning.made()


async def _zipped(iterables: tuple[Any, ...]) -> AsyncIterator[tuple[Any, ...]]:
    sources = [aiterator(iterable) for iterable in iterables]
    try:
        while True:
            try:
                row = [await source.__anext__() for source in sources]
            except StopAsyncIteration:
                return
            yield tuple(row)
    finally:
        for source in sources:
            await source.aclose()
