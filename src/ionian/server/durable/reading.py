"""Reads from the store what is next to run of each function, whenever results have made room."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine, Generator, Sequence
from contextlib import contextmanager
from typing import Any

from ...core.ledger import ENDED
from ...protocol.batch import Batch
from ..store.call_reads import CallReads, Span, Waiting
from ..store.calls import NewInputs
from . import feeding
from .calls import Kept, Line
from .feeding import Feeding

log = logging.getLogger("ionian.server")

CALLS_READ = 256
"""Calls that are looked up at a time: about 5 ms."""

AGAIN_S = 1.0
"""After a failed read."""


class Reading:
    """At most one reader a function at a time."""

    def __init__(self, feeding: Feeding, reads: CallReads) -> None:
        self._feeding = feeding
        self._reads = reads
        self._tasks: set[asyncio.Task[Any]] = set()
        # While the store is being read, so that what was read does not undo what came since:
        self._under_way = 0
        self._over: set[str] = set()  # calls that ended
        self._grown: dict[str, tuple[int, bool]] = {}  # that got inputs: how many, and whether they are all

    # --- events

    def refill(self, line: Line) -> None:
        """Reads on where there is room for it."""
        if line.behind and not line.reading and not line.closed and self._feeding.is_low(line):
            line.reading = True
            self._begin(self._read(line))

    def over(self, call_id: str) -> None:
        """A call has ended."""
        if self._under_way:
            self._over.add(call_id)

    def grown(self, one: NewInputs) -> None:
        """A call that is not under way got inputs, or its end."""
        if self._under_way:
            total, complete = self._grown.get(one.call_id, (0, False))
            self._grown[one.call_id] = max(total, one.total), complete or one.complete

    async def reclaim(self, call_ids: Sequence[str]) -> None:
        """Opens those of these calls that are unfinished ones of ours: containers have inputs or results of them."""
        wanted = [call_id for call_id in call_ids if call_id not in self._feeding.calls]
        if not wanted:
            return
        with self._noting():
            for waiting in await asyncio.to_thread(self._reads.unfinished, wanted):
                if self._feeding.is_known(waiting.call.function_id):
                    self._open(self._feeding.line(waiting.call.function_id), waiting)
        for line in list(self._feeding.lines.values()):
            self.refill(line)

    def stop(self) -> None:
        """Nothing more is read."""
        for task in self._tasks:
            task.cancel()

    # --- the work

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    @contextmanager
    def _noting(self) -> Generator[None]:
        """Notes what changes meanwhile."""
        self._under_way += 1
        try:
            yield
        finally:
            self._under_way -= 1
            if not self._under_way:
                self._over.clear()
                self._grown.clear()

    def _open(self, line: Line, waiting: Waiting) -> Kept | None:
        call_id = waiting.call.call_id
        if call_id in self._feeding.calls or call_id in self._over:
            return None
        return self._feeding.open_waiting(line, waiting, *self._grown.get(call_id, (0, False)))

    async def _read(self, line: Line) -> None:
        failed = False
        try:
            with self._noting():
                while line.behind and not line.closed and self._feeding.has_room(line):
                    if line.more:
                        await self._read_more(line, next(iter(line.more.values())))
                    else:
                        await self._read_next(line)
                    self._feeding.engine.pump()
        except Exception:
            log.exception("reading spawned calls of function=%s", line.function_id)
            failed = True
        line.reading = False
        if failed:
            asyncio.get_running_loop().call_later(AGAIN_S, self.refill, line)
        elif not line.calls and not line.behind and self._feeding.lines.get(line.function_id) is line:
            del self._feeding.lines[line.function_id]

    async def _read_more(self, line: Line, kept: Kept) -> None:
        """The next inputs of a call that is under way."""
        stored = kept.stored
        if not kept.spans:
            kept.spans = await asyncio.to_thread(self._reads.spans, kept.call_id, kept.loaded)
        if not kept.spans:
            _all_loaded(line, kept, stored)
            return
        chosen = _choose(line, kept)
        batches: dict[tuple[str, int], Batch] = {}
        keys = [(kept.call_id, span.start) for span in chosen if not _has_ended(kept, span)]
        if keys:
            batches = await asyncio.to_thread(self._reads.inputs, keys)
        if line.closed or self._feeding.calls.get(kept.call_id) is not kept:
            return
        for span in chosen:
            kept.loaded = max(kept.loaded, span.start)
            batch = batches.get((kept.call_id, span.start))
            if batch is not None:
                self._feeding.feed(line, kept, batch)
        del kept.spans[: len(chosen)]
        _all_loaded(line, kept, kept.loaded)

    async def _read_next(self, line: Line) -> None:
        """The next calls of a function; single inputs come with them."""
        newest = line.newest
        found = await asyncio.to_thread(self._reads.waiting, line.function_id, line.cursor, CALLS_READ)
        count, size, keys = line.under_way, line.bytes, list[tuple[str, int]]()
        chosen: list[Waiting] = []
        for waiting in found:
            if chosen and count and (count >= feeding.WINDOW or size >= feeding.WINDOW_BYTES):
                break
            chosen.append(waiting)
            count += sum(span.stop - span.start for span in waiting.spans)
            size += sum(span.size for span in waiting.spans)
            if _is_single(waiting):
                keys.append((waiting.call.call_id, 0))
        batches = await asyncio.to_thread(self._reads.inputs, keys) if keys else {}
        if line.closed:
            return
        for waiting in chosen:
            line.cursor = max(line.cursor, waiting.call.created_at)
            kept = self._open(line, waiting)
            batch = batches.get((waiting.call.call_id, 0))
            if kept is not None and batch is not None:
                kept.spans = []
                self._feeding.feed(line, kept, batch)
                _all_loaded(line, kept, 0)
        if len(chosen) == len(found) < CALLS_READ:
            line.cursor = max(line.cursor, newest)


def _all_loaded(line: Line, kept: Kept, up_to: int) -> None:
    kept.loaded = max(kept.loaded, up_to)
    if kept.loaded >= kept.stored:
        line.more.pop(kept.call_id, None)


def _choose(line: Line, kept: Kept) -> list[Span]:
    """As many of the next inputs as there is room for, one or more."""
    count, size, chosen = line.under_way, line.bytes, list[Span]()
    for span in kept.spans:
        if _has_ended(kept, span):
            chosen.append(span)
            continue
        if chosen and count and (count >= feeding.WINDOW or size + span.size > feeding.WINDOW_BYTES):
            break
        chosen.append(span)
        count += span.stop - span.start
        size += span.size
    return chosen


def _has_ended(kept: Kept, span: Span) -> bool:
    return kept.ledger.all_are(span.start, span.stop, ENDED)


def _is_single(waiting: Waiting) -> bool:
    return not waiting.ended and [(span.start, span.stop) for span in waiting.spans] == [(0, 1)]
