"""What of the spawned calls is under way: for each function a window over its inputs, in the order in which its calls
were made. All else waits in the store, and is read when results have made room."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Coroutine, Sequence
from typing import TYPE_CHECKING, Any

from ..core.delivery import pick
from ..core.ledger import ENDED, QUEUED, UNKNOWN, Ledger, ranges
from ..protocol.batch import BLOB, YIELD, Batch
from .store.call_reads import CallReads, Span, Waiting
from .store.calls import NewInputs
from .store.schema import Call

if TYPE_CHECKING:
    from .engine import Engine

log = logging.getLogger("ionian.server")

STORE = "store"
"""Who calls, as the dispatcher sees it, when a call is a spawned one."""

WINDOW = 4096
"""Inputs of a function under way: what containers can use within the time that it takes to read more (about 10 ms)."""

WINDOW_BYTES = 32 << 20
ALL_BYTES = 512 << 20
"""Payloads under way of one function, and of all together. One input may always be under way."""

CALLS_READ = 256
"""Calls that are looked up at a time: about 5 ms."""

AGAIN_S = 1.0
"""After a failed read."""


class Kept:
    """A spawned call that is under way. In its ledger QUEUED means that the dispatcher has an input, ENDED that its
    result was given to the writer."""

    __slots__ = (
        "app_id", "bytes", "call_id", "complete", "created_at", "environment", "function_id", "given", "ledger", "loaded",
        "parent", "recorded", "spans", "stored", "tag", "total", "under_way",
    )  # fmt: skip

    def __init__(self, call: Call | NewInputs, total: int, complete: bool) -> None:
        self.call_id = call.call_id
        self.function_id = call.function_id
        self.app_id = call.app_id
        self.environment = call.environment
        self.tag = call.tag
        self.parent = call.parent
        self.created_at = call.created_at
        self.total = total
        self.complete = complete
        self.ledger = Ledger()
        self.given = 0  # results that the writer has or had
        self.recorded = 0  # results in the store
        self.under_way = 0
        self.bytes = 0
        self.loaded = -1  # kept inputs that begin up to here were given to the dispatcher
        self.stored = -1  # the last begin of kept inputs that is known of
        self.spans: list[Span] = []  # what comes next, as far as it was looked up

    @property
    def finished(self) -> bool:
        """Whether all its results are in the store."""
        return self.complete and self.recorded >= self.total

    def count_ended(self, batches: list[Batch]) -> None:
        """Its results that were in the store already."""
        for batch in batches:
            ended = sorted({i for i in batch.index if self.ledger.state(i) != ENDED})
            for start, stop in ranges(ended):
                self.ledger.mark(start, stop, ENDED)
            self.given += len(ended)
        self.recorded = self.given


class Line:
    """The calls of a function, in the order in which they were made."""

    __slots__ = (
        "bytes",
        "calls",
        "closed",
        "cursor",
        "function_id",
        "more",
        "newest",
        "reading",
        "under_way",
    )

    def __init__(self, function_id: str) -> None:
        self.function_id = function_id
        self.calls: dict[str, Kept] = {}
        self.more: dict[str, Kept] = {}  # those of whose inputs some wait in the store
        self.cursor = 0.0  # calls made up to here were opened
        self.newest = 0.0  # up to here there may be some
        self.under_way = 0
        self.bytes = 0
        self.reading = False
        self.closed = False

    @property
    def behind(self) -> bool:
        """Whether something waits in the store."""
        return bool(self.more) or self.cursor < self.newest


class Windows:
    """All lines. It opens calls in the dispatcher and puts their inputs there."""

    def __init__(self, engine: Engine, reads: CallReads, started_at: float) -> None:
        self._engine = engine
        self._reads = reads
        self._started_at = started_at  # calls made before may have inputs in containers
        self.calls: dict[str, Kept] = {}
        self._lines: dict[str, Line] = {}
        self._bytes = 0
        self._tasks: set[asyncio.Task[Any]] = set()
        # While the store is being read, so that what was read does not undo what came since:
        self._reads_under_way = 0
        self._over: set[str] = set()  # calls that ended
        self._grown: dict[
            str, tuple[int, bool]
        ] = {}  # calls that got inputs: how many, and whether they are all

    # --- events

    def resume(self, function_id: str, newest: float) -> None:
        """Takes up what the store has of a function."""
        line = self._line(function_id)
        line.closed = False
        line.newest = max(line.newest, newest)
        self._refill(line)

    def arrived(self, one: NewInputs) -> None:
        """Inputs were stored just now. They go straight on where there is room and nothing waits before them."""
        kept = self.calls.get(one.call_id)
        line = self._line(one.function_id)
        if kept is not None:
            kept.total, kept.complete = max(kept.total, one.total), kept.complete or one.complete
            if len(one.batch):
                self._more_arrived(line, kept, one)
        elif one.outcome == "new":
            if line.behind or line.reading or not self._has_room(line):
                line.newest = max(line.newest, one.created_at)
            else:
                line.cursor = line.newest = max(line.newest, one.created_at)
                kept = self._open(line, Kept(one, one.total, one.complete))
                if len(one.batch):
                    kept.loaded = kept.stored = one.start
                    self._feed(line, kept, one.batch)
        elif self._reads_under_way:
            total, complete = self._grown.get(one.call_id, (0, False))
            self._grown[one.call_id] = max(total, one.total), complete or one.complete
        self._refill(line)

    def _more_arrived(self, line: Line, kept: Kept, one: NewInputs) -> None:
        if one.start < kept.stored:  # sent again, behind later ones: what is being read may lack them
            self._feed(line, kept, one.batch)
        elif kept.loaded == kept.stored and self._has_room(line):
            kept.loaded = kept.stored = one.start
            self._feed(line, kept, one.batch)
        else:
            kept.stored = one.start
            line.more[kept.call_id] = kept

    def take(self, batch: Batch) -> tuple[Batch, int] | None:
        """The rows of a batch of results that are the first for their inputs, and how many of these the window
        counts; None where there are none."""
        kept = self.calls.get(batch.call_id)
        if kept is None:
            return None
        rows: list[int] = []
        fed = 0
        for row, (index, code) in enumerate(zip(batch.index, batch.code, strict=True)):
            state = kept.ledger.state(index)
            if state == ENDED or code & ~BLOB == YIELD:
                continue
            kept.ledger.mark(index, index + 1, ENDED)
            fed += state == QUEUED
            rows.append(row)
        if not rows:
            return None
        kept.given += len(rows)
        return pick(batch, rows), fed

    def recorded(self, call_id: str, count: int, fed: int) -> Kept | None:
        """Results are in the store; returns the call where these were its last."""
        kept = self.calls.get(call_id)
        if kept is None:
            return None
        kept.recorded += count
        line = self._line(kept.function_id)
        self._freed(line, kept, fed)
        if kept.finished:
            self.forget(kept)
        self._refill(line)
        return kept if kept.finished else None

    def forget(self, kept: Kept) -> None:
        """A call is over."""
        self.calls.pop(kept.call_id, None)
        line = self._line(kept.function_id)
        line.calls.pop(kept.call_id, None)
        line.more.pop(kept.call_id, None)
        self._freed(line, kept, kept.under_way)
        self.over(kept.call_id)
        if not line.calls and not line.behind and not line.reading:
            self._lines.pop(kept.function_id, None)

    def over(self, call_id: str) -> None:
        """A call has ended, whether or not it was under way."""
        if self._reads_under_way:
            self._over.add(call_id)

    def close_line(self, function_id: str, *, forget_calls: bool) -> list[Kept]:
        """Nothing more of a function starts from the store; returns its calls that are under way."""
        line = self._lines.pop(function_id, None)
        if line is None:
            return []
        line.closed = True
        line.more.clear()
        calls = list(line.calls.values())
        if forget_calls:
            for kept in calls:
                self.calls.pop(kept.call_id, None)
            self._bytes -= line.bytes
        else:
            rest = self._line(function_id)
            rest.calls, rest.under_way, rest.bytes = line.calls, line.under_way, line.bytes
            rest.closed = True
        return calls

    def has_calls(self, app_id: str) -> bool:
        """Whether a call of the app is under way."""
        return any(kept.app_id == app_id for kept in self.calls.values())

    def settled(self) -> bool:
        """Whether nothing waits in the store that has room; for tests."""
        return not any(line.reading for line in self._lines.values())

    async def reclaim(self, call_ids: Sequence[str]) -> None:
        """Opens those of these calls that are unfinished ones of ours: containers have inputs or results of them."""
        wanted = [call_id for call_id in call_ids if call_id not in self.calls]
        if not wanted:
            return
        async with self._reading():
            for waiting in await asyncio.to_thread(self._reads.unfinished, wanted):
                if self._is_ours(waiting.call):
                    self._open_waiting(self._line(waiting.call.function_id), waiting)
        for line in list(self._lines.values()):
            self._refill(line)

    def stop(self) -> None:
        """Nothing more is read."""
        for task in self._tasks:
            task.cancel()

    # --- room

    def _line(self, function_id: str) -> Line:
        line = self._lines.get(function_id)
        if line is None:
            line = self._lines[function_id] = Line(function_id)
        return line

    def _has_room(self, line: Line) -> bool:
        if not line.under_way:
            return True
        if line.bytes >= WINDOW_BYTES or self._bytes >= ALL_BYTES:
            return False
        return line.under_way < WINDOW or line.under_way < 2 * self._running(line.function_id)

    def _running(self, function_id: str) -> int:
        function = self._engine.dispatcher.core.functions.get(function_id)
        return 0 if function is None else function.running

    def _freed(self, line: Line, kept: Kept, count: int) -> None:
        if count:
            size = kept.bytes * count // kept.under_way
            kept.under_way -= count
            kept.bytes -= size
            line.under_way -= count
            line.bytes -= size
            self._bytes -= size

    # --- feeding

    def _open(self, line: Line, kept: Kept) -> Kept:
        self.calls[kept.call_id] = line.calls[kept.call_id] = kept
        resumed = kept.created_at <= self._started_at
        if not self._engine.dispatcher.open_call(_now(), kept.call_id, kept.function_id, STORE, resumed):
            log.warning("call=%s of an unknown function=%s waits", kept.call_id, kept.function_id)
        return kept

    def _open_waiting(self, line: Line, waiting: Waiting) -> Kept | None:
        call = waiting.call
        if call.call_id in self.calls or call.call_id in self._over:
            return None
        total, complete = self._grown.get(call.call_id, (0, False))
        kept = Kept(call, max(call.total, total), call.complete or complete)
        kept.count_ended(waiting.ended)
        kept.stored = kept.total - 1
        kept.spans = waiting.spans
        if kept.given < kept.total:
            line.more[kept.call_id] = kept
        else:
            kept.loaded = kept.stored
        return self._open(line, kept)

    def _feed(self, line: Line, kept: Kept, batch: Batch) -> None:
        """Gives the dispatcher those of these inputs that it has not had, and that have no result."""
        ledger = kept.ledger
        start, stop = batch.index[0], batch.index[-1] + 1
        if not ledger.all_are(start, stop, UNKNOWN):
            rows = [row for row, index in enumerate(batch.index) if ledger.state(index) == UNKNOWN]
            if not rows:
                return
            batch = pick(batch, rows)
        for low, high in ranges(list(batch.index)):
            ledger.mark(low, high, QUEUED)
        count, size = len(batch), len(batch.payload) + 32 * len(batch)
        kept.under_way += count
        kept.bytes += size
        line.under_way += count
        line.bytes += size
        self._bytes += size
        batch.container = batch.seq = 0
        self._engine.dispatcher.put(_now(), batch)

    def _refill(self, line: Line) -> None:
        if line.behind and not line.reading and not line.closed and self._is_low(line):
            line.reading = True
            self._begin(self._read(line))

    def _is_low(self, line: Line) -> bool:
        """Whether there is room enough that reading is worth it."""
        if not line.under_way:
            return True
        if line.bytes >= WINDOW_BYTES // 2 or self._bytes >= ALL_BYTES:
            return False
        return line.under_way < WINDOW // 2 or line.under_way < 3 * self._running(line.function_id) // 2

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _reading(self) -> _Reading:
        return _Reading(self)

    async def _read(self, line: Line) -> None:
        failed = False
        try:
            async with self._reading():
                while line.behind and not line.closed and self._has_room(line):
                    if line.more:
                        await self._read_more(line, next(iter(line.more.values())))
                    else:
                        await self._read_next(line)
                    self._engine.pump()
        except Exception:
            log.exception("reading spawned calls of function=%s", line.function_id)
            failed = True
        line.reading = False
        if failed:
            asyncio.get_running_loop().call_later(AGAIN_S, self._refill, line)
        elif not line.calls and not line.behind and self._lines.get(line.function_id) is line:
            del self._lines[line.function_id]

    async def _read_more(self, line: Line, kept: Kept) -> None:
        """The next inputs of a call that is under way."""
        stored = kept.stored
        if not kept.spans:
            kept.spans = await asyncio.to_thread(self._reads.spans, kept.call_id, kept.loaded)
        if not kept.spans:
            self._all_loaded(line, kept, stored)
            return
        chosen = self._choose(line, kept)
        batches: dict[tuple[str, int], Batch] = {}
        keys = [(kept.call_id, span.start) for span in chosen if not self._ended(kept, span)]
        if keys:
            batches = await asyncio.to_thread(self._reads.inputs, keys)
        if line.closed or self.calls.get(kept.call_id) is not kept:
            return
        for span in chosen:
            kept.loaded = max(kept.loaded, span.start)
            batch = batches.get((kept.call_id, span.start))
            if batch is not None:
                self._feed(line, kept, batch)
        del kept.spans[: len(chosen)]
        self._all_loaded(line, kept, kept.loaded)

    def _all_loaded(self, line: Line, kept: Kept, up_to: int) -> None:
        kept.loaded = max(kept.loaded, up_to)
        if kept.loaded >= kept.stored:
            line.more.pop(kept.call_id, None)

    def _ended(self, kept: Kept, span: Span) -> bool:
        return kept.ledger.all_are(span.start, span.stop, ENDED)

    def _choose(self, line: Line, kept: Kept) -> list[Span]:
        """As many of the next inputs as there is room for, one or more."""
        count, size, chosen = line.under_way, line.bytes, list[Span]()
        for span in kept.spans:
            if self._ended(kept, span):
                chosen.append(span)
                continue
            if chosen and count and (count >= WINDOW or size + span.size > WINDOW_BYTES):
                break
            chosen.append(span)
            count += span.stop - span.start
            size += span.size
        return chosen

    async def _read_next(self, line: Line) -> None:
        """The next calls of a function; single inputs come with them."""
        newest = line.newest
        found = await asyncio.to_thread(self._reads.waiting, line.function_id, line.cursor, CALLS_READ)
        count, size, keys = line.under_way, line.bytes, list[tuple[str, int]]()
        chosen: list[Waiting] = []
        for waiting in found:
            if chosen and count and (count >= WINDOW or size >= WINDOW_BYTES):
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
            kept = self._open_waiting(line, waiting)
            batch = batches.get((waiting.call.call_id, 0))
            if kept is not None and batch is not None:
                kept.spans = []
                self._feed(line, kept, batch)
                self._all_loaded(line, kept, 0)
        if len(chosen) == len(found) < CALLS_READ:
            line.cursor = max(line.cursor, newest)

    def _is_ours(self, call: Call) -> bool:
        return call.function_id in self._engine.specs


class _Reading:
    """Notes what changes meanwhile."""

    def __init__(self, windows: Any) -> None:
        self._windows = windows

    async def __aenter__(self) -> None:
        self._windows._reads_under_way += 1

    async def __aexit__(self, *_: object) -> None:
        windows = self._windows
        windows._reads_under_way -= 1
        if not windows._reads_under_way:
            windows._over.clear()
            windows._grown.clear()


def _is_single(waiting: Waiting) -> bool:
    return not waiting.ended and [(span.start, span.stop) for span in waiting.spans] == [(0, 1)]


_now: Callable[[], float] = time.monotonic
