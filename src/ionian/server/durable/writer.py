"""One thread that writes spawned calls and their results to the store: what arrives while a commit is under way is
committed together by the next, so one sync to disk serves thousands of inputs."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace

from ... import faults
from ...core.failures import failure
from ...protocol.batch import LOST, Batch
from ..store.call_tries import NewTry
from ..store.calls import Calls, EndCall, EndCalls, NewInputs, NewResults, Write
from ..store.database import StoreError, StoreRefused

log = logging.getLogger("ionian.server")

GROUP_BYTES = 16 << 20
"""A group is closed at this size, so that nobody waits for seconds for the sync of others."""

GROUP_WRITES = 5000
"""The same by number: some 0.1 s of work for the database."""

FIRST_PAUSE_S = 0.1
LAST_PAUSE_S = 5.0
"""Between tries to write what must be written."""

Committed = Callable[[list[Write], "StoreError | None"], None]


class Writer:
    """`put` from the event loop; `committed` is called there, with groups in the order in which they were put.

    Inputs that can't be written are handed back with the error. Results and ends are tried until they are written:
    whoever gave them still has them, and may forget them only then. What the database will never take is found in its
    group, so that it costs the others nothing; results of that kind are replaced by a failure that says so.
    """

    def __init__(self, calls: Calls, committed: Committed) -> None:
        self._calls = calls
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Write] = deque()
        self.waiting_bytes = 0
        self._there = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="ionian-durable", daemon=True)
        self._thread.start()

    def put(self, *writes: Write) -> None:
        """Has something written."""
        size = sum(map(size_of, writes))
        with self._there:
            if not self._waiting:
                self._there.notify()
            self._waiting.extend(writes)
            self.waiting_bytes += size

    async def stop(self) -> None:
        """Writes what was put, and ends the thread."""
        with self._there:
            self._ending = True
            self._there.notify()
        await asyncio.to_thread(self._thread.join)

    # --- the thread

    def _run(self) -> None:
        kept: list[Write] = []
        pause_s = FIRST_PAUSE_S
        while True:
            group = self._next(kept)
            if group is None:
                return
            error = self._write(group)
            if error is None:
                self._tell(group, None)
                kept, pause_s = [], FIRST_PAUSE_S
                continue
            if isinstance(error, StoreRefused):
                kept = self._apart(group, error)
            else:
                self._tell([one for one in group if isinstance(one, NewInputs)], error)
                kept = [one for one in group if not isinstance(one, NewInputs)]
            if not kept:
                continue
            if self._ending:
                return  # their workers still have the results, and give them to the next start
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, LAST_PAUSE_S)

    def _next(self, kept: list[Write]) -> list[Write] | None:
        group, size = list(kept), 0
        with self._there:
            while not self._waiting and not group:
                if self._ending:
                    return None
                self._there.wait()
            while self._waiting and size < GROUP_BYTES and len(group) < GROUP_WRITES:
                one = self._waiting.popleft()
                size += size_of(one)
                group.append(one)
            self.waiting_bytes -= size
        return group

    def _write(self, group: list[Write]) -> StoreError | None:
        if faults.ARMED:
            faults.reach("durable.received")
        try:
            self._calls.write(group)
        except StoreError as error:
            log.warning("spawned calls and results can't be written: %s", error)
            return error
        except Exception as error:
            log.exception("spawned calls and results can't be written")
            return StoreRefused(f"{type(error).__name__}: {error}")
        if faults.ARMED:
            if any(isinstance(one, NewInputs) for one in group):
                faults.reach("durable.committed")
            if any(isinstance(one, NewResults) for one in group):
                faults.reach("durable.recorded")
            if any(isinstance(one, NewTry) for one in group):
                faults.reach("durable.tried")
        return None

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
            failed = self._write(part)
            if failed is None:
                self._tell(part, None)
            elif isinstance(failed, StoreRefused):
                left += self._apart(part, failed)
            else:
                left += part
        return left

    def _refused(self, one: Write, error: StoreError) -> None:
        if isinstance(one, NewInputs):
            self._tell([one], error)
            return
        log.error("what is never written is given up: %s: %s", type(one).__name__, error)
        if isinstance(one, NewResults):
            instead = replace(one, batch=_lost(one.batch, error))
            if self._write([instead]) is None:
                one = instead
        self._tell([one], None)

    def _tell(self, group: list[Write], error: StoreError | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._committed, group, error)
        except RuntimeError:
            log.info("the server ended before it heard of a commit")


def _lost(batch: Batch, error: StoreError) -> Batch:
    """Failures in the place of results."""
    said = failure("InternalFailure", f"the result of this input could not be stored: {error}"[:1000])
    count = len(batch)
    lost = Batch(batch.call_id, batch.index, [len(said)] * count, said * count)
    lost.code, lost.micros, lost.attempt = [LOST] * count, batch.micros, batch.attempt
    return lost


def size_of(write: Write) -> int:
    """About how many bytes something takes that is to be written."""
    if isinstance(write, (EndCall, EndCalls)):
        return len(write.failure)
    if isinstance(write, NewTry):
        return len(write.call_id)
    return len(write.batch.payload) + 20 * len(write.batch)
