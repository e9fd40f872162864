"""The thread that writes spawned calls and their results to the store, in groups."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from ... import faults
from ...core.failures import failure
from ...protocol.batch import LOST, Batch
from ..groups import Groups
from ..store.call_tries import NewTry
from ..store.calls import Calls, EndCall, EndCalls, NewInputs, NewResults, Write
from ..store.database import StoreError, StoreRefused

log = logging.getLogger("ionian.server")

GROUP_WRITES = 5000
"""Writes in a group: some 0.1 s of work for the database."""

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 5.0
"""Between tries to write what must be written."""


class Writer(Groups[Write]):
    """Inputs that can't be written are handed back with the error. Results and ends are tried until they are written:
    whoever gave them still has them, and may forget them only then. What the database will never take is found in its
    group, so that it costs the others nothing; results of that kind are replaced by a failure that says so.
    """

    def __init__(self, calls: Calls, committed: Callable[[Sequence[Write], StoreError | None], None]) -> None:
        self._calls = calls
        super().__init__("durable", GROUP_WRITES, committed)

    def size(self, write: Write) -> tuple[int, int]:
        """Its payload's, and 20 bytes a row."""
        if isinstance(write, (EndCall, EndCalls)):
            return len(write.failure), 1
        if isinstance(write, NewTry):
            return 20, 1
        return len(write.batch.payload) + 20 * len(write.batch.index), 1

    def run(self) -> None:
        """Writes groups until `take` gives none."""
        kept: list[Write] = []
        pause_s = FIRST_PAUSE_S
        while True:
            group = self.take(kept)
            if group is None:
                return
            error = self.attempt(group)
            if error is None:
                self.tell(group, None)
                kept, pause_s = [], FIRST_PAUSE_S
                continue
            if isinstance(error, StoreRefused):
                kept = self._apart(group, error)
            else:
                self.tell([one for one in group if isinstance(one, NewInputs)], error)
                kept = [one for one in group if not isinstance(one, NewInputs)]
            if not kept:
                continue
            if self.ending:
                return  # their workers still have the results, and give them to the next start
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def write(self, group: Sequence[Write]) -> None:
        """Writes a group."""
        if faults.ARMED:
            faults.reach("durable.received")
        self._calls.write(group)
        if faults.ARMED:
            for kind, point in ((NewInputs, "committed"), (NewResults, "recorded"), (NewTry, "tried")):
                if any(isinstance(one, kind) for one in group):
                    faults.reach(f"durable.{point}")

    def _apart(self, group: list[Write], error: StoreError) -> list[Write]:
        """Writes a group in which something is refused, but for that. Returns what is to be tried again."""
        if len(group) == 1:
            self._refused(group[0], error)
            return []
        left: list[Write] = []
        half = len(group) // 2
        for part in (group[:half], group[half:]):
            if left:  # the database is gone meanwhile
                left += part
                continue
            failed = self.attempt(part)
            if failed is None:
                self.tell(part, None)
            elif isinstance(failed, StoreRefused):
                left += self._apart(part, failed)
            else:
                left += part
        return left

    def _refused(self, one: Write, error: StoreError) -> None:
        if isinstance(one, NewInputs):
            self.tell([one], error)
            return
        log.error("what is never written is given up: %s: %s", type(one).__name__, error)
        if isinstance(one, NewResults):
            instead = replace(one, batch=_lost(one.batch, error))
            if self.attempt([instead]) is None:
                one = instead
        self.tell([one], None)


def _lost(batch: Batch, error: StoreError) -> Batch:
    """Failures in the place of results."""
    said = failure("InternalFailure", f"the result of this input could not be stored: {error}"[:1000])
    count = len(batch)
    lost = Batch(batch.call_id, batch.index, [len(said)] * count, said * count)
    lost.code, lost.micros, lost.attempt = [LOST] * count, batch.micros, batch.attempt
    return lost
