"""What of the spawned calls the dispatcher has: opened there, and its inputs put there while there is room."""

from __future__ import annotations

import logging
import time
from typing import TYPE_CHECKING

from ...core.ledger import QUEUED, UNKNOWN, ranges
from ...protocol.batch import Batch
from ...protocol.calls import OpenCall
from ..store.call_reads import Waiting
from .calls import STORE, Kept, Line
from .tries import Tries

if TYPE_CHECKING:
    from ..engine import Engine

log = logging.getLogger("ionian.server")

WINDOW = 4096
"""Inputs of a function under way: what containers can use within the time that it takes to read more (about 10 ms)."""

WINDOW_BYTES = 32 << 20
ALL_BYTES = 512 << 20
"""Payloads under way of one function, and of all together. One input may always be under way."""


class Feeding:
    """The calls and inputs that are under way, and how much more may be."""

    def __init__(self, engine: Engine, started_at: float, tries: Tries) -> None:
        self.engine = engine
        self.tries = tries
        self.calls: dict[str, Kept] = {}
        self.lines: dict[str, Line] = {}
        self._started_at = started_at  # calls made before may have inputs in containers
        self._bytes = 0

    def line(self, function_id: str) -> Line:
        """The line of a function."""
        line = self.lines.get(function_id)
        if line is None:
            line = self.lines[function_id] = Line(function_id)
        return line

    def is_known(self, function_id: str) -> bool:
        """Whether there is such a function."""
        return function_id in self.engine.specs

    # --- room

    def has_room(self, line: Line) -> bool:
        """Whether more of a function may be under way."""
        if not line.under_way:
            return True
        if line.bytes >= WINDOW_BYTES or self._bytes >= ALL_BYTES:
            return False
        return line.under_way < WINDOW or line.under_way < 2 * self._running(line.function_id)

    def is_low(self, line: Line) -> bool:
        """Whether there is room enough that reading is worth it."""
        if not line.under_way:
            return True
        if line.bytes >= WINDOW_BYTES // 2 or self._bytes >= ALL_BYTES:
            return False
        return line.under_way < WINDOW // 2 or line.under_way < 3 * self._running(line.function_id) // 2

    def _running(self, function_id: str) -> int:
        function = self.engine.dispatcher.core.functions.get(function_id)
        return 0 if function is None else function.running

    def freed(self, line: Line, kept: Kept, count: int) -> None:
        """So many inputs of a call are not under way any more."""
        if count:
            size = kept.bytes * count // kept.under_way
            kept.under_way -= count
            kept.bytes -= size
            line.under_way -= count
            line.bytes -= size
            self._bytes -= size

    def drop(self, line: Line) -> None:
        """A whole line is not under way any more, nor are its calls."""
        for kept in line.calls.values():
            self.calls.pop(kept.call_id, None)
            self.tries.over(kept.call_id)
        self._bytes -= line.bytes

    # --- feeding

    def open(self, line: Line, kept: Kept) -> Kept:
        """The dispatcher has a call from here on."""
        self.calls[kept.call_id] = line.calls[kept.call_id] = kept
        resumed = kept.created_at <= self._started_at
        used = self.tries.of(kept.call_id) if resumed else None
        if not self.engine.dispatcher.open_call(_now(), kept.call_id, kept.function_id, STORE, resumed, used):
            log.warning("call=%s of an unknown function=%s waits", kept.call_id, kept.function_id)
        elif self.engine.traces is not None and (found := self.engine.specs.get(kept.function_id)):
            self.engine.traces.opened(OpenCall(kept.call_id, kept.function_id, kept.parent), *found)
        return kept

    def open_waiting(self, line: Line, waiting: Waiting, total: int, complete: bool) -> Kept:
        """A call that was read. `total`, `complete`: what is known of it otherwise."""
        kept = Kept(waiting.call, max(waiting.call.total, total), waiting.call.complete or complete)
        kept.count_ended(waiting.ended)
        kept.stored = kept.total - 1
        kept.spans = waiting.spans
        if kept.given < kept.total:
            line.more[kept.call_id] = kept
        else:
            kept.loaded = kept.stored
        return self.open(line, kept)

    def feed(self, line: Line, kept: Kept, batch: Batch) -> None:
        """Gives the dispatcher those of these inputs that it has not had, and that have no result."""
        ledger = kept.ledger
        start, stop = batch.index[0], batch.index[-1] + 1
        if not ledger.all_are(start, stop, UNKNOWN):
            rows = [row for row, index in enumerate(batch.index) if ledger.state(index) == UNKNOWN]
            if not rows:
                return
            batch = batch.pick(rows)
        for low, high in ranges(list(batch.index)):
            ledger.mark(low, high, QUEUED)
        count, size = len(batch), len(batch.payload) + 32 * len(batch)
        kept.under_way += count
        kept.bytes += size
        line.under_way += count
        line.bytes += size
        self._bytes += size
        batch.container = batch.seq = 0
        if self.engine.traces is not None:
            self.engine.traces.put(batch)
        self.engine.dispatcher.put(_now(), batch)


_now = time.monotonic
