"""Runs inputs: one packet after the other, its results joined while more of them are at hand."""

from __future__ import annotations

import struct
import sys
import time
from mmap import mmap
from typing import Any

from .. import execution, faults
from ..protocol.batch import DONE, ERROR, OK, YIELD, Batch
from ..protocol.container import CELL_CALL_AT, CELL_FORMAT, PACKET_MAX
from ..protocol.shelf import Row, Shelf
from ..protocol.wire import RESULTS, RUN
from ..serialization import dump_failure, dumps, loads
from .wire import Packets

HOLD_NS = 500_000
"""Results of a packet are joined for at most half a millisecond."""

CO_GENERATOR, CO_COROUTINE, CO_ASYNC_GENERATOR = 0x20, 0x80, 0x200

_cell = struct.Struct(CELL_FORMAT)
_now = time.monotonic_ns


def flush_output() -> None:
    """Has what user code printed leave before its result does. User code may have closed or replaced the streams."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass


class Runner:
    """The loop of a container that runs one input at a time."""

    def __init__(self, packets: Packets, cell: mmap, container_id: str, hide: str) -> None:
        self.function: Any = None
        self._packets = packets
        self._cell = cell
        self._container_id = container_id
        self._hide = hide
        self._loop: Any = None  # an asyncio loop, when an async function first needs it
        self._rows: list[Row] = []
        self._shelf = Shelf(cell)  # where the worker finds the rows that wait for a slow input's
        self._rows_size = 0
        self._call_id = ""
        self._asynchronous = False

    def serve(self) -> None:
        """Runs inputs until the worker closes its end."""
        flags = getattr(getattr(self.function, "__code__", None), "co_flags", 0)
        generates = bool(flags & (CO_GENERATOR | CO_ASYNC_GENERATOR)) or getattr(
            self.function, "__ionian_generator__", False
        )
        self._asynchronous = bool(flags & CO_COROUTINE)
        run = self._run_generators if generates else self._run_plain
        while True:
            packet = self._packets.receive()
            if packet is None:
                return
            kind, header, payload = packet
            if kind != RUN:
                continue
            batch = Batch.unpack(header, payload)  # type: ignore[arg-type]
            self._call_id = batch.call_id
            self._cell[CELL_CALL_AT : CELL_CALL_AT + len(batch.call_id)] = batch.call_id.encode()
            if faults.ARMED:
                faults.reach("container.claimed")
            run(batch)
            self._flush()

    def _run_plain(self, batch: Batch) -> None:
        cell, rows, asynchronous = self._cell, self._rows, self._asynchronous
        function, call_id = self.function, batch.call_id
        held_since = _now()
        for index, attempt, payload in zip(batch.index, batch.attempt, batch.payloads(), strict=True):
            if rows:
                self._shelf.put(rows[-1])
            started = _now()
            _cell.pack_into(cell, 0, started, index)
            execution.set_input(call_id, index)
            try:
                args, kwargs = loads(payload)
                value = self._wait(function(*args, **kwargs)) if asynchronous else function(*args, **kwargs)
                result, code = dumps(value, "the result of the function"), OK
            except BaseException as error:
                result, code = self._failure(error), ERROR
            if faults.ARMED:
                faults.reach("container.ran")
            ended = _now()
            rows.append((index, attempt, code, (ended - started) // 1000, result))
            self._rows_size += len(result)
            if ended - held_since > HOLD_NS or self._rows_size > PACKET_MAX // 2:
                self._flush()
                held_since = ended
        _cell.pack_into(cell, 0, 0, 0)

    def _run_generators(self, batch: Batch) -> None:
        call_id = batch.call_id
        for index, attempt, payload in zip(batch.index, batch.attempt, batch.payloads(), strict=True):
            started = _now()
            _cell.pack_into(self._cell, 0, started, index)
            execution.set_input(call_id, index)
            number = 0
            try:
                args, kwargs = loads(payload)
                for item in self._items(self.function(*args, **kwargs)):
                    self._rows.append(
                        (index, attempt, YIELD, number, dumps(item, "an item of the generator"))
                    )
                    number += 1
                    self._flush()
                self._rows.append((index, attempt, DONE, number, b""))
            except BaseException as error:
                self._rows.append((index, attempt, ERROR, (_now() - started) // 1000, self._failure(error)))
            self._flush()
        _cell.pack_into(self._cell, 0, 0, 0)

    def _wait(self, coroutine: Any) -> Any:
        if self._loop is None:
            import asyncio

            self._loop = asyncio.new_event_loop()
            asyncio.set_event_loop(self._loop)
        return self._loop.run_until_complete(coroutine)

    def _items(self, made: Any) -> Any:
        if not hasattr(made, "__anext__"):
            yield from made
            return
        while True:
            try:
                yield self._wait(made.__anext__())
            except StopAsyncIteration:
                return

    def _failure(self, error: BaseException) -> bytes:
        """The exception as bytes; its traceback is printed too, as Python would."""
        import traceback

        frames = [
            f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith(self._hide)
        ]
        lines = traceback.format_list(frames) + traceback.format_exception_only(type(error), error)
        if frames:
            lines.insert(0, "Traceback (most recent call last):\n")
        try:
            print("".join(lines), end="", file=sys.stderr, flush=True)
        except (AttributeError, ValueError, OSError):
            pass  # user code closed or replaced the stream
        return dump_failure(error, hide=self._hide, where=self._container_id)

    def _flush(self) -> None:
        if not self._rows:
            return
        rows, self._rows_size = self._rows, 0
        flush_output()
        at = 0
        while at < len(rows):
            end, size = at, 0
            while end < len(rows) and (end == at or size + len(rows[end][4]) <= PACKET_MAX // 2):
                size += len(rows[end][4])
                end += 1
            index, attempt, code, micros, payloads = zip(*rows[at:end], strict=True)
            batch = Batch(
                self._call_id,
                index,
                [len(payload) for payload in payloads],
                b"",
                attempt=attempt,
                code=code,
                micros=[min(m, 0xFFFFFFFF) for m in micros],
            )
            self._packets.send(RESULTS, batch.header(), b"".join(payloads))
            at = end
        rows.clear()
        self._shelf.clear()
