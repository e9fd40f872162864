"""Results of spawned calls for those who ask: read from the store, or handed on when they are recorded."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from ...core.ledger import ENDED
from ...protocol.batch import Batch
from ..store.call_reads import Results
from ..store.call_rows import CallRow
from .together import Together

if TYPE_CHECKING:
    from .calls import Kept
    from .durable import Durable

ANSWER_BYTES = 4 << 20
"""About so much goes into one answer; a single longer result goes alone."""

LOOK_BYTES = 16 << 20
"""About so much is read at a time for many who ask for a result each."""

LONGEST_WAIT_S = 60.0


@dataclass(slots=True)
class Waiter:
    """Somebody who waits for the result of an input."""

    start: int
    app_id: str
    function_id: str
    future: asyncio.Future[Results | None]


class Outputs:
    """Who waits for what."""

    def __init__(self, durable: Durable) -> None:
        self._durable = durable
        self._waiters: dict[str, list[Waiter]] = {}
        self._calls = Together(durable.reads.find_each)
        self._results = Together(partial(durable.reads.results_each, max_bytes=LOOK_BYTES))

    async def find(self, call_id: str) -> CallRow | Kept | None:
        """A call by its id."""
        return self._durable.windows.calls.get(call_id) or await self._calls.ask(call_id)

    async def get(self, call: CallRow | Kept, start: int, limit: int, wait_s: float) -> Results | None:
        """Results from input `start` on; waits for the first of them. None where the call is not there any more."""
        until = time.monotonic() + min(max(wait_s, 0.0), LONGEST_WAIT_S)
        while True:
            waiter = self._wait(call, start)
            try:
                if not self._is_missing(call.call_id, start):
                    found = await self._read(call.call_id, start, limit)
                    if (
                        found is None
                        or found.batch is not None
                        or found.expired
                        or _is_over(found.call, start)
                    ):
                        return found
                left_s = until - time.monotonic()
                if left_s <= 0:
                    return await self._nothing(call.call_id)
                found = await asyncio.wait_for(waiter.future, left_s)
                if found is not None and limit == 1:
                    return found
            except asyncio.TimeoutError:
                return await self._nothing(call.call_id)
            finally:
                self._forget(call.call_id, waiter)

    async def _read(self, call_id: str, start: int, limit: int) -> Results | None:
        if limit == 1:
            return await self._results.ask((call_id, start))
        return await asyncio.to_thread(self._durable.reads.results, call_id, start, limit, ANSWER_BYTES)

    def came(self, batch: Batch, kept: Kept) -> None:
        """Results of a call were recorded."""
        waiters = self._waiters.get(batch.call_id)
        if not waiters:
            return
        for waiter in waiters:
            if waiter.start in batch.index and not waiter.future.done():
                row = list(batch.index).index(waiter.start)
                waiter.future.set_result(Results(_as_call(kept), batch.pick([row])))

    def grown(self, call_id: str) -> None:
        """A call changed otherwise: it has all its inputs, or has ended."""
        for waiter in self._waiters.get(call_id, ()):
            if not waiter.future.done():
                waiter.future.set_result(None)

    def ended(self, *, app_id: str, function_id: str) -> None:
        """Calls of an app or of a function have ended."""
        for waiters in self._waiters.values():
            for waiter in waiters:
                same = waiter.app_id == app_id if app_id else waiter.function_id == function_id
                if same and not waiter.future.done():
                    waiter.future.set_result(None)

    def _wait(self, call: CallRow | Kept, start: int) -> Waiter:
        future: asyncio.Future[Results | None] = asyncio.get_running_loop().create_future()
        waiter = Waiter(start, call.app_id, call.function_id, future)
        self._waiters.setdefault(call.call_id, []).append(waiter)
        return waiter

    def _forget(self, call_id: str, waiter: Waiter) -> None:
        waiters = self._waiters.get(call_id, [])
        if waiter in waiters:
            waiters.remove(waiter)
        if not waiters:
            self._waiters.pop(call_id, None)

    def _is_missing(self, call_id: str, start: int) -> bool:
        """Whether it is certain without a look into the store that the result is not there yet."""
        kept = self._durable.windows.calls.get(call_id)
        if kept is None or (kept.complete and start >= kept.total):
            return False
        return kept.ledger.state(start) != ENDED

    async def _nothing(self, call_id: str) -> Results | None:
        kept = self._durable.windows.calls.get(call_id)
        row = _as_call(kept) if kept is not None else await self._calls.ask(call_id)
        return None if row is None else Results(row, None)


def _is_over(call: CallRow, start: int) -> bool:
    return call.complete and start >= call.total


def _as_call(kept: Kept) -> CallRow:
    """What the store has of a call that is under way."""
    return CallRow(
        kept.call_id,
        kept.app_id,
        kept.environment,
        kept.function_id,
        kept.tag,
        kept.parent,
        kept.created_at,
        kept.total,
        kept.complete,
        kept.recorded,
    )
