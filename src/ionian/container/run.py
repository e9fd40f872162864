"""Runs inputs one at a time: one packet after the other, its results joined while more of them are at hand."""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Sequence
from mmap import mmap
from typing import Any

from .. import execution, faults
from ..exception import InputCancellation
from ..protocol.batch import BACK, DONE, ERROR, OK, YIELD, Batch
from ..protocol.container import CELL_CALL_AT, CELL_FORMAT, PACKET_MAX
from ..protocol.ids import input_id
from ..protocol.shelf import Shelf
from ..protocol.slots import Slots
from ..protocol.wire import RESULTS, RUN
from . import loop
from .kinds import ASYNC, ASYNC_GENERATOR, PLAIN, WEB, Kinds
from .lifecycle import Callables
from .payloads import FilePayload, Payload, Raw, Row, pickled, unpickled
from .results import Results
from .wire import Packets
from .written import marks

HOLD_NS = 500_000
"""Results of a packet are joined for at most half a millisecond."""

NOTHING = Batch("", [], [], b"")

_cell = struct.Struct(CELL_FORMAT)
_now = time.monotonic_ns


class Stopped(Exception):
    """An input was interrupted because its container ends: it has no result, and is run again elsewhere."""


class Runner:
    """The loop of a container that runs one input at a time, on the main thread.

    Two signals interrupt what it runs: see `cancel` and `stop`. They raise into user code (or cancel its task), and
    nowhere else: `_open` says when user code runs.
    """

    def __init__(
        self,
        packets: Packets,
        cell: mmap,
        results: Results,
        callables: Callables,
        *,
        single_use: bool = False,
    ) -> None:
        self._packets = packets
        self._cell = cell
        self._slots = Slots(cell)
        self._results = results
        self._kinds = Kinds(callables)
        self._single_use = single_use
        self._shelf = Shelf(cell)  # where the worker finds the rows that wait for a slow input's
        self._rows: list[Row] = []
        self._rows_size = 0
        self._batch = NOTHING  # the packet that runs,
        self._at = 0  # which row of it,
        self._upto = 0  # and how many of its rows are to run
        self._call_id = ""
        self._task: Any = None  # of the async input that runs
        self._open = False
        self._waiting = False  # for a packet
        self._interrupted = 0  # the start of the input that was interrupted last
        self._stopping = False

    def serve(self) -> None:
        """Runs inputs until the worker closes its end, or says stop."""
        try:
            while not self._stopping:
                packet = self._receive()
                if packet is None:
                    return
                kind, header, payload = packet
                if kind == RUN:
                    self._run(*_inputs(header, payload))
                    if self._single_use:
                        return
        except KeyboardInterrupt:
            if not self._stopping:
                raise
        except Stopped:
            pass
        finally:
            self._flush()

    def running(self) -> execution.Input | None:
        """The input that runs, for who asks from within it."""
        started, index = _cell.unpack_from(self._cell)
        return (self._call_id, index) if started else None

    # --- signals

    def cancel(self, *_: object) -> None:
        """The worker asks, in the slot, for the end of an input: interrupts that one, if it still runs. Or it wants back
        what waits behind one that takes long."""
        if self._open and self._slots.wants_back():
            self._give_back()
        start = self._slots.asked(0)
        if start and self._open and self._interrupted != start:
            self._interrupted = start
            self._slots.answer(0, start)
            self._interrupt(InputCancellation("the input was cancelled"))

    def stop(self, *_: object) -> None:
        """The container ends: interrupts what runs, as Ctrl-C would."""
        self._stopping = True
        if self._open or self._waiting:
            self._interrupt(KeyboardInterrupt("the container is stopped"))

    def _interrupt(self, error: BaseException) -> None:
        if self._task is not None:
            loop.get().call_soon_threadsafe(self._task.cancel)
        else:
            raise error

    def _give_back(self) -> None:
        """The rows behind the one that runs are run elsewhere. This is amid user code: nothing of the user's is touched,
        and `_run` looks how far it is to go after it has said where it is."""
        batch, begin, end = self._batch, self._at + 1, self._upto
        if begin >= end:
            return
        self._upto = begin
        count = end - begin
        back = Batch(
            batch.call_id,
            batch.index[begin:end],
            [0] * count,
            b"",
            attempt=batch.attempt[begin:end],
            code=[BACK] * count,
        )
        self._packets.send(RESULTS, back.header(), b"")

    # --- inputs

    def _receive(self) -> Any:
        self._waiting = True  # first: stop() either finds it, or was before the look at `_stopping`
        try:
            if self._stopping:
                return None
            if loop.made() is not None:
                loop.run_until_readable(self._packets.fileno())
            return self._packets.receive()
        finally:
            self._waiting = False

    def _run(self, batch: Batch, payloads: Sequence[bytes | FilePayload]) -> None:
        self._call_id = call_id = batch.call_id
        self._cell[CELL_CALL_AT : CELL_CALL_AT + len(call_id)] = call_id.encode()
        if faults.ARMED:
            faults.reach("container.claimed")
        cell, rows, kinds = self._cell, self._rows, self._kinds
        held_since = _now()
        self._batch, self._at, self._upto = batch, -1, len(batch.index)
        for at, (index, attempt, payload) in enumerate(
            zip(batch.index, batch.attempt, payloads, strict=True)
        ):
            self._at = at
            if at >= self._upto:
                break
            if rows:
                self._shelf.put(rows[-1])
            started = _now()
            _cell.pack_into(cell, 0, started, index)
            execution.set_input(call_id, index)
            items = 0
            try:
                try:
                    given = unpickled(payload)
                    function, kind = kinds.of(given)
                    if kind == PLAIN:
                        self._open = True
                        value = function(*given[0], **given[1])
                        self._open = False
                        given = None
                        result, code = pickled(value, "the result of the function"), OK
                        value = None
                    else:
                        result, code, items = self._outcome(index, attempt, function, kind, given)
                except BaseException as error:
                    self._open = False
                    result, code = self._failure(error, index), ERROR
            except (InputCancellation, KeyboardInterrupt) as error:  # it came as the input ended
                result, code = self._failure(error, index), ERROR
            if marks.wrote:
                marks.settle(call_id, index)
            if execution.after_input is not None:
                execution.after_input(call_id, index)
            given = None  # as above: what is large is not kept until the next ones are here
            if faults.ARMED:
                faults.reach("container.ran")
            ended = _now()
            micros = items if code == DONE else (ended - started) // 1000
            rows.append((index, attempt, code, micros, result))
            self._rows_size += len(result)
            if ended - held_since > HOLD_NS or self._rows_size > PACKET_MAX // 2:
                self._flush()
                held_since = ended
        _cell.pack_into(cell, 0, 0, 0)
        self._flush()

    def _outcome(
        self, index: int, attempt: int, function: Callable[..., Any], kind: int, given: tuple[Any, ...]
    ) -> tuple[Payload, int, int]:
        """Runs an input that is no plain call; returns its result, the code of it, and how many items it yielded."""
        if kind == ASYNC:
            value = self._wait(function(*given[0], **given[1]))
            return pickled(value, "the result of the function"), OK, 0
        if kind == WEB:
            last, items = self._answer(index, attempt, function, given)
            return last, DONE, items
        return b"", DONE, self._generate(index, attempt, kind, function, given)

    def _failure(self, error: BaseException, index: int) -> bytes:
        self._open = False
        if self._stopping and (isinstance(error, KeyboardInterrupt) or loop.is_cancelled(error)):
            raise Stopped from None
        (started,) = struct.unpack_from("<Q", self._cell)
        if self._interrupted == started and (
            isinstance(error, InputCancellation) or loop.is_cancelled(error)
        ):
            return self._results.cancelled(input_id(self._call_id, index), error)
        return self._results.failure(error)

    def _wait(self, coroutine: Any) -> Any:
        task = self._task = loop.get().create_task(coroutine)
        self._open = True
        try:
            return loop.get().run_until_complete(task)
        finally:
            self._open = False
            self._task = None

    # --- generators

    def _generate(
        self, index: int, attempt: int, kind: int, function: Callable[..., Any], given: tuple[Any, ...]
    ) -> int:
        self._flush()
        made = function(*given[0], **given[1])  # runs nothing of a generator yet
        if kind == ASYNC_GENERATOR or hasattr(made, "__anext__"):
            return self._wait(self._items(index, attempt, made))
        number = 0
        self._open = True
        for item in made:
            self._open = False
            self._item(index, attempt, number, item)
            number += 1
            self._open = True
        self._open = False
        return number

    async def _items(self, index: int, attempt: int, made: Any) -> int:
        number = 0
        async for item in made:
            self._item(index, attempt, number, item)
            number += 1
        return number

    def _item(self, index: int, attempt: int, number: int, item: Any) -> None:
        self._rows.append((index, attempt, YIELD, number, pickled(item, "an item of the generator")))
        self._flush()

    def _answer(
        self, index: int, attempt: int, function: Callable[..., Any], given: tuple[Any, ...]
    ) -> tuple[Payload, int]:
        """Runs a web request; returns its last event, if that goes with the end, and how many went before."""
        self._flush()
        number, over = 0, False

        def emit(event: Raw) -> None:
            nonlocal number
            if over:
                return  # by a thread of WSGI whose request was cancelled: the rows are those of the next by now
            self._rows.append((index, attempt, YIELD, number, event))
            number += 1
            if event.last:
                loop.get().call_soon(goes_on)
            else:
                self._flush()

        def goes_on() -> None:
            """The answer is whole: its client does not wait for what user code does behind it."""
            if self._task is not None and not self._task.done():
                self._flush()

        try:
            self._wait(function(emit, *given[0]))
        finally:
            over = True
        if not self._rows:
            return b"", number
        *_, event = self._rows.pop()
        return event, number - 1

    def _flush(self) -> None:
        if self._rows:
            self._results.send(self._call_id, self._rows)
            self._rows.clear()
            self._rows_size = 0
            self._shelf.clear()


def _inputs(
    header: memoryview, payload: memoryview | bytes | FilePayload
) -> tuple[Batch, Sequence[bytes | FilePayload]]:
    """The inputs of a packet, and what each was pickled to."""
    if isinstance(payload, FilePayload):
        return Batch.unpack_header(header), [payload]
    batch = Batch.unpack(header, payload)
    return batch, batch.payloads()
