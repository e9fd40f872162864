"""The caller's side of a call: sends inputs, keeps them until their results are in hand, takes results.

The call path is synchronous frames with an async face: a batch of results is put into one queue by the link's
thread and everything else (pickling, ordering) happens in the thread that asked.
"""

from __future__ import annotations

import json
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from . import link as links
from .blob_file import open_blob
from .protocol.batch import BLOB, DONE, ERROR, LOST, OK, YIELD, Batch
from .protocol.ids import new_id
from .protocol.wire import INPUTS, MAX_INLINE
from .serialization import FAILED_INPUT, load, load_failure, loads
from .spill import Inbox
from .trace_context import traceparent

if TYPE_CHECKING:
    from .function import Function
    from .link import Link

    AnyFunction = Function[Any, Any]

ENTRY_BYTES = 4 << 20
"""Inputs that are sent together; more are cut up. Far below the largest frame."""

Row = tuple[int, int, int, bytes]  # index, code, micros, payload


class Call:
    """One call of a function: one input for `.remote`, many for `.map`."""

    def __init__(self, function: AnyFunction, notify: Callable[[], None] | None = None) -> None:
        function.hydrate()
        self.call_id = new_id("fc")
        self.function_id: str = function.function_id
        self.parent = parent_input()
        self.trace = traceparent()
        self._detached = _is_detached(function)
        self.opened = False  # by the link, for the connection that is up
        self.results: SimpleQueue[Batch | BaseException] = SimpleQueue()
        self.unfinished: dict[int, tuple[int, bytes]] = {}  # index → code and payload, to send again
        self.unfinished_bytes = 0
        self._inbox = Inbox()
        self._notify = notify  # called on the link's thread when results are there
        self._link = links.current()
        self._link.open_call(self)

    def send(self, first: int, payloads: list[bytes]) -> None:
        """Sends inputs; `first` is the index of the first of them."""
        codes, before = [0] * len(payloads), self.unfinished_bytes
        for at, payload in enumerate(payloads):
            if len(payload) > MAX_INLINE:
                payloads[at] = f"{self._link.store_blob(payload)} {len(payload)}".encode()
                codes[at] = BLOB
            self.unfinished[first + at] = (codes[at], payloads[at])
            self.unfinished_bytes += len(payloads[at])
        for low, high in _parts(payloads, self.unfinished_bytes - before):
            index = range(first + low, first + high)
            self._link.send_inputs(
                self, pack_inputs(self.call_id, index, codes[low:high], payloads[low:high])
            )

    def unsent(self) -> Iterator[bytes]:
        """The inputs without a result, packed: what a new connection has to send again."""
        rows = self.unfinished.copy()  # in one step: the user's thread goes on
        index = list(rows)
        codes, payloads = [code for code, _ in rows.values()], [payload for _, payload in rows.values()]
        for low, high in _parts(payloads, sum(map(len, payloads))):
            yield pack_inputs(self.call_id, index[low:high], codes[low:high], payloads[low:high])

    def receive(self, batch: Batch | BaseException) -> None:
        """Takes results from the link's thread."""
        if isinstance(batch, Batch):
            self._inbox.hold(batch)
        self.results.put(batch)
        if self._notify is not None:
            self._notify()

    def rows(self, batch: Batch | BaseException) -> list[Row]:
        """The rows of a batch that are news; a result that came twice is dropped."""
        if links.shown is not None:
            links.shown()
        if isinstance(batch, BaseException):
            raise batch
        self._inbox.release(batch)
        unfinished = self.unfinished
        fresh: list[Row] = []
        for index, code, micros, payload in zip(
            batch.index, batch.code, batch.micros, batch.payloads(), strict=True
        ):
            if code & 0xFF == YIELD:
                if index in unfinished:
                    fresh.append((index, code, micros, payload))
                continue
            sent = unfinished.pop(index, None)
            if sent is not None:
                self.unfinished_bytes -= len(sent[1])
                fresh.append((index, code, micros, payload))
        return fresh

    def value(self, code: int, payload: bytes) -> Any:
        """The result of a row. Raises what the function raised, or why it has no result."""
        return loads(payload) if code == OK else result_of(self._link, code, payload)

    def close(self) -> None:
        """Ends the call: what has no result yet is not wanted any more. Ctrl-C leaves those of a detached app."""
        left = self._detached and isinstance(sys.exc_info()[1], (KeyboardInterrupt, SystemExit))
        if not left:
            self._link.close_call(self, finished=not self.unfinished)
        self._inbox.close()


def _parts(payloads: list[bytes], size: int) -> list[tuple[int, int]]:
    """Where to cut payloads, so that no entry is larger than a frame may be."""
    if size <= ENTRY_BYTES:
        return [(0, len(payloads))]
    parts, low, held = list[tuple[int, int]](), 0, 0
    for at, payload in enumerate(payloads):
        if held and held + len(payload) > ENTRY_BYTES:
            parts.append((low, at))
            low, held = at, 0
        held += len(payload)
    return [*parts, (low, len(payloads))]


def pack_inputs(call_id: str, index: Any, code: list[int], payloads: list[bytes]) -> bytes:
    """Inputs as one entry."""
    return Batch(call_id, index, [len(p) for p in payloads], b"".join(payloads), code=code).pack(INPUTS)


def result_of(link: Link, code: int, payload: bytes) -> Any:
    """What a result's code and payload stand for. Raises what the function raised, or why it has no result."""
    kind = code & 0xFF
    if code & BLOB:
        digest, size = payload.decode().split()
        with open_blob(link, digest, int(size)) as file:
            if kind in (OK, YIELD):
                return load(file)
            payload = file.read(int(size))
    if kind in (OK, YIELD):
        return loads(payload)
    if kind == ERROR:
        raise load_failure(payload)
    raise lost(payload)


def lost(payload: bytes) -> BaseException:
    """The exception for a result that Ionian made, not the function."""
    from . import exception

    failure = json.loads(payload)
    kind = getattr(exception, failure["type"], exception.RemoteError)
    error = kind(failure["message"])
    setattr(error, FAILED_INPUT, failure.get("input", ""))
    return error


def _is_detached(function: AnyFunction) -> bool:
    app = function._app
    return app is not None and app.is_detached


def parent_input() -> str:
    """The input that runs in this thread or task; "" where none does."""
    from .execution import current_input_id

    return current_input_id() or ""


# --- one input


def run(function: AnyFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Runs one input and returns its result, or raises its exception."""
    payload = function.payload(args, kwargs)
    function_id = function.hydrate().function_id  # its app may not run: no server is started before
    link = links.current()
    plain = len(payload) <= MAX_INLINE and not _is_detached(function) and not traceparent()
    lane = link.take_lane() if plain else None
    if lane is not None:
        try:
            code, result = lane.run(function_id, parent_input(), payload)
        finally:
            link.give_lane(lane)
        return result_of(link, code, result)
    call = Call(function)
    try:
        call.send(0, [payload])
        del payload
        while True:
            for _, code, _, result in call.rows(call.results.get()):
                return call.value(code, result)
    finally:
        call.close()


async def run_async(function: AnyFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """`run` for a coroutine."""
    payload = function.payload(args, kwargs)
    waiter = Waiter()
    call = Call(function, waiter.notify)
    try:
        call.send(0, [payload])
        del payload
        while True:
            for _, code, _, result in call.rows(await waiter.get(call)):
                return call.value(code, result)
    finally:
        call.close()


class Waiter:
    """Lets a coroutine wait for results that another thread brings."""

    def __init__(self) -> None:
        import asyncio

        self._loop = asyncio.get_running_loop()
        self._event = asyncio.Event()

    def notify(self) -> None:
        """Wakes the coroutine; called on the link's thread."""
        try:
            self._loop.call_soon_threadsafe(self._event.set)
        except RuntimeError:
            pass  # the loop is closed: nobody waits any more

    async def get(self, call: Call) -> Batch | BaseException:
        """The next batch of results of the call."""
        while True:
            batch = await self.get_or_none(call)
            if batch is not None:
                return batch

    async def get_or_none(self, call: Call) -> Batch | BaseException | None:
        """The next batch, or None where something else woke the coroutine."""
        if call.results.empty():
            self._event.clear()
            if call.results.empty():
                await self._event.wait()
        return None if call.results.empty() else call.results.get()


# --- generators


class _Items:
    """Puts the items of a generator in order and knows when all are there."""

    def __init__(self, call: Call) -> None:
        self._call = call
        self._early: dict[int, Any] = {}
        self._next = 0
        self._total: int | None = None
        self._error: BaseException | None = None

    def add(self, batch: Batch | BaseException) -> list[Any]:
        """Takes a batch; returns the items that are due."""
        for _, code, number, payload in self._call.rows(batch):
            if code & 0xFF == YIELD:
                if number < self._next:
                    continue  # it comes again after a lost connection
                self._early[number] = self._call.value(code, payload)
            elif code & 0xFF == DONE:
                self._total = number
            else:
                self._end(code, payload)
        due: list[Any] = []
        while self._next in self._early:
            due.append(self._early.pop(self._next))
            self._next += 1
        return due

    def _end(self, code: int, payload: bytes) -> None:
        try:
            self._call.value(code, payload)
        except BaseException as error:
            self._error = error
        self._total = self._next + len(self._early)

    def ended(self) -> bool:
        """Whether every item was given. Raises what ended the generator early."""
        if self._total is None or self._next < self._total:
            return False
        if self._error is not None:
            raise self._error
        return True


def generate(function: AnyFunction, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Iterator[Any]:
    """Runs a generator function and yields its items as they come."""
    payload = function.payload(args, kwargs)
    call = Call(function)
    items = _Items(call)
    try:
        call.send(0, [payload])
        while not items.ended():
            yield from items.add(call.results.get())
    finally:
        call.close()


async def generate_async(
    function: AnyFunction, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> AsyncIterator[Any]:
    """`generate` for a coroutine."""
    payload = function.payload(args, kwargs)
    waiter = Waiter()
    call = Call(function, waiter.notify)
    items = _Items(call)
    try:
        call.send(0, [payload])
        while not items.ended():
            for item in items.add(await waiter.get(call)):
                yield item
    finally:
        call.close()


__all__ = ["ERROR", "LOST", "OK", "Call", "Waiter", "generate", "generate_async", "lost", "run", "run_async"]
