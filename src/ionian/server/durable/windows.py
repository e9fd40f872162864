"""What of the spawned calls is under way: for each function a window over its inputs, in the order in which its calls
were made. All else waits in the store, and is read when results have made room."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ...core.ledger import ENDED, QUEUED
from ...protocol.batch import BLOB, YIELD, Batch
from ..store.call_reads import CallReads
from ..store.calls import NewInputs
from .calls import Kept, Line
from .feeding import Feeding
from .reading import Reading
from .tries import Tries

if TYPE_CHECKING:
    from ..engine import Engine


class Windows:
    """All lines: what arrives for them, and what leaves them."""

    def __init__(self, engine: Engine, reads: CallReads, started_at: float, tries: Tries) -> None:
        self._feeding = Feeding(engine, started_at, tries)
        self._reading = Reading(self._feeding, reads)
        self.calls = self._feeding.calls  # those under way, by their ids
        self.reclaim = self._reading.reclaim
        self.over = self._reading.over
        self.stop = self._reading.stop

    def resume(self, function_id: str, newest: float) -> None:
        """Takes up what the store has of a function."""
        line = self._feeding.line(function_id)
        line.closed = False
        line.newest = max(line.newest, newest)
        self._reading.refill(line)

    def arrived(self, one: NewInputs) -> None:
        """Inputs were stored just now. They go straight on where there is room and nothing waits before them."""
        kept = self.calls.get(one.call_id)
        line = self._feeding.line(one.function_id)
        if kept is not None:
            kept.total, kept.complete = max(kept.total, one.total), kept.complete or one.complete
            if len(one.batch):
                self._more_arrived(line, kept, one)
        elif one.outcome == "new":
            if line.behind or line.reading or not self._feeding.has_room(line):
                line.newest = max(line.newest, one.created_at)
            else:
                line.cursor = line.newest = max(line.newest, one.created_at)
                kept = self._feeding.open(line, Kept(one, one.total, one.complete))
                if len(one.batch):
                    kept.loaded = kept.stored = one.start
                    self._feeding.feed(line, kept, one.batch)
        else:
            self._reading.grown(one)
        self._reading.refill(line)

    def _more_arrived(self, line: Line, kept: Kept, one: NewInputs) -> None:
        if one.start < kept.stored:  # sent again, behind later ones: what is being read may lack them
            self._feeding.feed(line, kept, one.batch)
        elif kept.loaded == kept.stored and self._feeding.has_room(line):
            kept.loaded = kept.stored = one.start
            self._feeding.feed(line, kept, one.batch)
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
        return batch.pick(rows), fed

    def recorded(self, call_id: str, count: int, fed: int) -> Kept | None:
        """Results are in the store; returns the call where these were its last."""
        kept = self.calls.get(call_id)
        if kept is None:
            return None
        kept.recorded += count
        line = self._feeding.line(kept.function_id)
        self._feeding.freed(line, kept, fed)
        if kept.finished:
            self.forget(kept)
        self._reading.refill(line)
        return kept if kept.finished else None

    def forget(self, kept: Kept) -> None:
        """A call is over."""
        self.calls.pop(kept.call_id, None)
        line = self._feeding.line(kept.function_id)
        line.calls.pop(kept.call_id, None)
        line.more.pop(kept.call_id, None)
        self._feeding.freed(line, kept, kept.under_way)
        self.over(kept.call_id)
        self._feeding.tries.over(kept.call_id)
        if not line.calls and not line.behind and not line.reading:
            self._feeding.lines.pop(kept.function_id, None)

    def close_line(self, function_id: str, *, forget_calls: bool) -> list[Kept]:
        """Nothing more of a function starts from the store; returns its calls that are under way."""
        line = self._feeding.lines.pop(function_id, None)
        if line is None:
            return []
        line.closed = True
        line.more.clear()
        calls = list(line.calls.values())
        if forget_calls:
            self._feeding.drop(line)
        else:
            rest = self._feeding.line(function_id)
            rest.calls, rest.under_way, rest.bytes = line.calls, line.under_way, line.bytes
            rest.closed = True
        return calls
