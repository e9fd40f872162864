"""`.map`: many inputs in one call, read lazily, results as they come or in order, in bounded memory.

The window counts inputs without a result, never results that wait for an earlier one: order alone stalls no
container. The user's iterator is read in the user's own thread, so a slow consumer slows the reading.
"""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterable, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any

from . import link as links
from .call import Call, Waiter
from .exception import InvalidError
from .serialization import dumps
from .spill import Spill

if TYPE_CHECKING:
    import asyncio

    from .function import Function

    AnyFunction = Function[Any, Any]

WINDOW = 1000
"""Inputs under way until the pace is known: enough for every container that starts meanwhile."""

WINDOW_FAST = 4096
"""Inputs under way where they end quickly: about 20 ms of work at 200,000 a second."""

FAST_PER_S = 5000.0

WINDOW_BYTES = 64 << 20
CHUNK = 256
"""Inputs read before results are looked at again."""

CHUNK_BYTES = 8 << 20
"""The same in bytes: what is pickled at once stays in memory until it is sent."""

STEP = 16
"""Inputs read between two looks at the clock."""

CHUNK_S = 0.002
"""The same as a time, for iterators that take long over each item."""


class _Map:
    """The state of one map, without the waiting: the synchronous and the asynchronous form share it."""

    def __init__(
        self,
        function: AnyFunction,
        kwargs: dict[str, Any],
        call: Call,
        *,
        ordered: bool,
        exceptions: bool,
        star: bool,
        inputs: int | None,
    ) -> None:
        self.call = call
        self.reading = True
        self._inputs = inputs  # how many there will be, for the progress only
        self.most = CHUNK  # inputs in a chunk, by their size
        self.chunk = 1  # inputs that the next reading takes
        self._tag = function.tag
        self._behind = function.given((), kwargs)[1:]  # of each input, behind its positional arguments
        self.failure: BaseException | None = None  # of the user's iterator
        self._star = star
        self._ordered = ordered
        self._exceptions = exceptions
        self._sent = 0
        self._done = 0
        self._given = 0
        self._waiting = Spill()  # finished before their turn
        self._window = WINDOW
        self._mark = (time.monotonic(), 0)
        self._progress = links.progress(function) if links.progress is not None else None
        if self._progress is not None and inputs is not None:
            self._progress.update(0, inputs)

    def open(self) -> bool:
        """Whether another input should be read now."""
        call = self.call
        return self.reading and len(call.unfinished) < self._window and call.unfinished_bytes < WINDOW_BYTES

    def over(self) -> bool:
        """Whether everything that will ever come was given. Raises what the user's iterator raised."""
        if self.reading or self._given < self._sent:
            return False
        if self.failure is not None:
            raise self.failure
        return True

    def send(self, items: list[Any]) -> None:
        """Sends inputs; an item is the tuple of positional arguments."""
        if items:
            behind = self._behind
            try:
                payloads = [dumps((tuple(item) if self._star else item, *behind)) for item in items]
            except Exception:
                payloads = self._until_failure(items)
            if payloads:
                size = sum(map(len, payloads)) // len(payloads)
                self.most = min(CHUNK, max(1, CHUNK_BYTES // (size + 1)))
                self.call.send(self._sent, payloads)
                self._sent += len(payloads)

    def _until_failure(self, items: list[Any]) -> list[bytes]:
        """The inputs before one that can't be sent; that ends the map as a failure of the iterator does."""
        payloads: list[bytes] = []
        for item in items:
            try:
                what = f"the argument of {self._tag}, number {self._sent + len(payloads)} of its inputs (from 0),"
                arguments = _unpacked(item, self._sent + len(payloads)) if self._star else item
                payloads.append(dumps((arguments, *self._behind), what))
            except Exception as error:
                self.failure = error
                self.reading = False
                break
        return payloads

    def add(self, batch: Any) -> Iterator[Any]:
        """Takes results; yields the values that are due."""
        rows = self.call.rows(batch)
        self._done += len(rows)
        self._pace()
        if not self._ordered:
            for _, code, _, payload in rows:
                self._given += 1
                yield self._value(code, payload)
            return
        waiting = self._waiting
        for index, code, _, payload in rows:
            if index != self._given:
                waiting.put(index, code, payload)
                continue
            self._given += 1
            yield self._value(code, payload)
            while self._given in waiting:
                code, payload = waiting.pop(self._given)
                self._given += 1
                yield self._value(code, payload)

    def _pace(self) -> None:
        now = time.monotonic()
        since, done = self._mark
        if now - since >= 0.05:
            fast = (self._done - done) / (now - since) >= FAST_PER_S
            self._window = WINDOW_FAST if fast else WINDOW
            self._mark = (now, self._done)
            if self._progress is not None:
                self._progress.update(self._done, self._inputs if self.reading else self._sent)

    def _value(self, code: int, payload: bytes) -> Any:
        if not self._exceptions:
            return self.call.value(code, payload)
        try:
            return self.call.value(code, payload)
        except Exception as error:
            return error

    def close(self) -> None:
        """Ends the map, early or not."""
        if self._progress is not None:
            self._progress.update(self._done, self._inputs if self.reading else self._sent)
            self._progress.close()
        self._waiting.close()
        self.call.close()


def _unpacked(item: Any, number: int) -> tuple[Any, ...]:
    """An item of a starmap. Raises InvalidError for what holds no arguments."""
    try:
        return tuple(item)
    except TypeError:
        raise InvalidError(
            f"starmap: expected a tuple of arguments for each input, got {item!r} for number {number} (from 0)"
        ) from None


def map_sync(
    function: AnyFunction,
    iterables: tuple[Iterable[Any], ...],
    kwargs: dict[str, Any],
    *,
    order_outputs: bool,
    return_exceptions: bool,
    star: bool,
) -> Iterator[Any]:
    """The results of the function over the zipped iterables (`star`: over the tuples of the only one)."""
    source: Iterator[Any] = iter(iterables[0]) if star else zip(*iterables, strict=False)
    call = Call(function)
    state = _Map(
        function,
        kwargs,
        call,
        ordered=order_outputs,
        exceptions=return_exceptions,
        star=star,
        inputs=_shortest(iterables),
    )
    results = call.results
    try:
        while not state.over():
            if state.open():
                _read(state, source)
            while not results.empty() or (not state.open() and not state.over()):
                yield from state.add(results.get())
    finally:
        state.close()
        for iterable in iterables:
            close = getattr(iterable, "close", None)
            if close is not None and hasattr(iterable, "gi_frame"):
                close()


def _shortest(iterables: tuple[Any, ...]) -> int | None:
    """How many inputs these make, where each says its length; a generator doesn't."""
    try:
        return min((len(iterable) for iterable in iterables), default=None)
    except Exception:  # no length, or one that can't be told: only the progress would show it
        return None


def _read(state: _Map, source: Iterator[Any]) -> None:
    """Reads and sends some inputs. One at first, more where the iterator proves quick: what was read must not wait
    for an item that takes long."""
    items: list[Any] = []
    limit, end = state.chunk, time.monotonic() + CHUNK_S
    try:
        while len(items) < limit and time.monotonic() < end:
            wanted = min(limit, len(items) + STEP)
            items.extend(islice(source, wanted - len(items)))  # keeps what came before an exception
            if len(items) < wanted:
                state.reading = False
                break
    except Exception as error:
        state.reading = False
        state.failure = error
    quick = time.monotonic() < end
    state.send(items)
    state.chunk = min(2 * limit, state.most) if quick else 1


async def map_async(
    function: AnyFunction,
    iterables: tuple[Any, ...],
    kwargs: dict[str, Any],
    *,
    order_outputs: bool,
    return_exceptions: bool,
    star: bool,
) -> AsyncIterator[Any]:
    """`map_sync` for a coroutine; the iterables may be asynchronous ones."""
    import asyncio

    waiter = Waiter()
    call = Call(function, waiter.notify)
    state = _Map(
        function,
        kwargs,
        call,
        ordered=order_outputs,
        exceptions=return_exceptions,
        star=star,
        inputs=_shortest(iterables),
    )
    room = asyncio.Event()
    reader = asyncio.ensure_future(_read_async(state, iterables, star, room, waiter.notify))
    try:
        while not state.over():
            if call.results.empty():
                room.set()
            batch = await waiter.get_or_none(call)
            if batch is not None:
                for value in state.add(batch):
                    yield value
    finally:
        reader.cancel()
        state.close()
        await asyncio.wait([reader])  # it closes the iterables


async def _read_async(
    state: _Map, iterables: tuple[Any, ...], star: bool, room: asyncio.Event, wake: Callable[[], None]
) -> None:
    """Reads the iterables while there is room, in a task of its own, so that results pass a slow iterator."""
    import asyncio

    items: list[Any] = []
    timer: asyncio.TimerHandle | None = None

    def flush() -> None:
        nonlocal timer
        if timer is not None:
            timer.cancel()
            timer = None
        some, items[:] = items[:], []
        state.send(some)
        if not state.reading:
            wake()

    sources = [aiterator(iterable) for iterable in iterables]
    try:
        while state.reading:
            row = [await source.__anext__() for source in sources]
            items.append(row[0] if star else tuple(row))
            if len(items) >= state.most:
                flush()
                await asyncio.sleep(0)  # an iterator that never waits must not keep the results waiting
            elif timer is None:
                timer = asyncio.get_running_loop().call_later(CHUNK_S, flush)
            while not state.open():
                room.clear()
                await room.wait()
    except StopAsyncIteration:
        pass
    except Exception as error:
        state.failure = error
    finally:
        if timer is not None:
            timer.cancel()
        for source in sources:
            await source.aclose()
    if state.reading:
        state.send(items)
    state.reading = False
    wake()


async def aiterator(iterable: Any) -> AsyncGenerator[Any, None]:
    """The items of an iterable of either kind; closing it closes a generator."""
    try:
        if hasattr(iterable, "__aiter__"):
            async for item in iterable:
                yield item
        else:
            for item in iterable:
                yield item
    finally:
        if hasattr(iterable, "ag_frame"):
            await iterable.aclose()
        elif hasattr(iterable, "gi_frame"):
            iterable.close()
