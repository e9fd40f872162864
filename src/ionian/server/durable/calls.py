"""A spawned call that is under way, and the calls of one function in the order in which they were made."""

from __future__ import annotations

from ...core.ledger import ENDED, Ledger, ranges
from ...protocol.batch import Batch
from ..store.call_reads import Span
from ..store.call_rows import CallRow
from ..store.calls import NewInputs

STORE = "store"
"""Who calls, as the dispatcher sees it, when a call is a spawned one."""


class Kept:
    """A spawned call that is under way. In its ledger QUEUED means that the dispatcher has an input, ENDED that its
    result was given to the writer."""

    __slots__ = (
        "app_id", "bytes", "call_id", "complete", "created_at", "environment", "function_id", "given", "ledger", "loaded",
        "parent", "recorded", "spans", "stored", "tag", "total", "under_way",
    )  # fmt: skip

    def __init__(self, call: CallRow | NewInputs, total: int, complete: bool) -> None:
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
