"""What became of the inputs of each function, minute by minute: counted here, a batch at a time, and written every few
seconds in one transaction. So a call pays for no write; a kill -9 costs the counts of those seconds, and nothing else."""

from __future__ import annotations

import asyncio
import logging
import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..core.call import Call
from ..core.dispatcher import Dispatcher
from ..core.function import Function
from ..core.worker import State
from ..protocol.batch import BLOB, DONE, ERROR, LOST, OK, YIELD, Batch
from .call_records import status_of
from .container_counts import ContainerCounts
from .durable import STORE
from .durations import SAMPLES, bucket
from .store.counts import Counted
from .totals import Totals

if TYPE_CHECKING:
    from .store import Store

log = logging.getLogger("ionian.server")

wall = time.time

WRITE_EVERY_S = 3.0
"""What is counted is on disk after so long."""

MINUTE_S = 60

TIMED = (OK, ERROR)
"""Results that say how long their input ran: the end of a generator says how many items it had."""

MOST_MARKS = 4096
"""Arrivals of one call that are told apart; past it every second one is forgotten."""

MOST_OWED = 10_000
"""Rows that wait for a database that takes nothing; past it the oldest are let go."""


@dataclass(slots=True)
class Tally(Counted):
    """What a function did in this minute, so far."""

    dirty: bool = True
    run: dict[int, int] = field(default_factory=dict[int, int])  # buckets of durations → inputs
    latency: dict[int, int] = field(default_factory=dict[int, int])
    startup: dict[int, int] = field(default_factory=dict[int, int])


class Counts:
    """The counts of this minute. All but the writing is called on the event loop."""

    def __init__(self, store: Store, epoch: int, dispatcher: Dispatcher) -> None:
        self._rows = store.counts
        self._epoch = epoch
        self._core = dispatcher.core
        self.minute = int(wall()) // MINUTE_S
        self.of_containers = ContainerCounts(epoch)
        self._tallies: dict[str, Tally] = {}
        self.totals = Totals(lambda: self._tallies.values())
        self._seen: dict[str, int] = {}  # caller → its last batch that is counted: some are delivered again
        self._marks: dict[str, list[tuple[int, float]]] = {}  # call → when inputs from an index on arrived
        self._owed: list[Counted] = []
        self._writing = asyncio.Lock()
        self._task: asyncio.Task[None] | None = None
        self.stored: Callable[[], Awaitable[dict[str, int]]] | None = None
        """How many inputs of each function wait in the store."""

    # --- its life

    def start(self) -> None:
        """Writes every few seconds from now on."""
        self._task = asyncio.ensure_future(self._run())

    async def stop(self) -> None:
        """Writes what is counted, and no more."""
        if self._task is not None:
            self._task.cancel()
        await self.write(containers=True)

    async def _run(self) -> None:
        while True:
            left = MINUTE_S - wall() % MINUTE_S
            await asyncio.sleep(min(WRITE_EVERY_S, left))
            try:
                await self.write()
            except Exception:
                log.exception("writing the counts of calls")

    # --- what is counted

    def put(self, batch: Batch) -> None:
        """Inputs of a call arrive. When its first ones did is known."""
        first = batch.index[0] if batch.index else 0
        if not first:
            return
        marks = self._marks.setdefault(batch.call_id, [])
        if not marks or first > marks[-1][0]:  # else they are sent again
            marks.append((first, time.monotonic()))
            if len(marks) > MOST_MARKS:
                del marks[::2]

    def marks(self, call_id: str) -> int:
        """How many arrivals of a call are told apart."""
        return len(self._marks.get(call_id, ()))

    def delivered(self, caller: str, batch: Batch, age_s: float = -1.0) -> None:
        """Results go to their caller. `age_s`: of a spawned call, how long ago it was made."""
        call = self._core.calls.get(batch.call_id)
        if call is None or batch.seq <= self._seen.get(caller, 0):
            return
        self._seen[caller] = batch.seq
        self._count(call, batch, age_s)

    def _count(self, call: Call, batch: Batch, age_s: float) -> None:
        codes = batch.code
        count = len(codes)
        ok = codes.count(OK)
        if ok == count:
            tally = self._tally(call.function)
            tally.succeeded += count
            self._time(tally, call, batch, range(0, count, -(-count // SAMPLES)), age_s)
        elif codes.count(YIELD) != count:
            self._count_each(call, batch, age_s)

    def _count_each(self, call: Call, batch: Batch, age_s: float) -> None:
        """The rare batches: failures, ends of generators, results that are blobs."""
        tally = self._tally(call.function)
        ended: list[int] = []
        for row, code in enumerate(batch.code):
            kind = code & ~BLOB
            if kind == YIELD:
                continue
            ended.append(row)
            if kind in (OK, DONE):
                tally.succeeded += 1
            elif kind == ERROR:
                tally.failed += 1
        if LOST in batch.code:
            payloads = batch.payloads()
            for row in [row for row, code in enumerate(batch.code) if code == LOST]:
                timed_out = status_of(payloads[row]) == "timeout"
                tally.timed_out += timed_out
                tally.failed += not timed_out
        for row in ended:
            self._time(tally, call, batch, (row,), age_s)

    def _time(self, tally: Tally, call: Call, batch: Batch, rows: Sequence[int], age_s: float) -> None:
        """How long inputs ran, and how long their caller waited. `rows` stand for the others between them."""
        weight = max(1, len(batch.code) // len(rows)) if len(rows) > 1 else 1
        run, latency = tally.run, tally.latency
        for row in rows:
            if batch.code[row] & ~BLOB in TIMED:
                place = bucket(batch.micros[row])
                run[place] = run.get(place, 0) + weight
        now, marks = time.monotonic(), self._marks.get(call.id)
        if marks is None or age_s >= 0:
            place = bucket((age_s if age_s >= 0 else now - call.opened_at) * 1e6)
            latency[place] = latency.get(place, 0) + weight * len(rows)
            return
        for row in rows:
            at = bisect_right(marks, (batch.index[row], now))
            place = bucket((now - (marks[at - 1][1] if at else call.opened_at)) * 1e6)
            latency[place] = latency.get(place, 0) + weight

    def given_up(self, call_id: str) -> None:
        """A caller wants no more of a call: what of it has no result is cancelled."""
        self._marks.pop(call_id, None)
        call = self._core.calls.get(call_id)
        if call is not None:
            self._cancel(call)

    def app_stops(self, app_id: str) -> None:
        """An app is about to end, and what has no result with it. The store says it of spawned calls."""
        for call in self._core.calls.values():
            if call.function.app_id == app_id and call.caller.id != STORE:
                self._cancel(call)

    def _cancel(self, call: Call) -> None:
        if not call.closed and (left := call.queued + call.running + len(call.delayed)):
            self._tally(call.function).cancelled += left

    def cancelled(self, function_id: str, inputs: int) -> None:
        """Inputs of spawned calls ended with their call, or with their app."""
        if inputs and (tally := self._of(function_id)):
            tally.cancelled += inputs

    def container_started(self, function_id: str) -> None:
        """A container was asked for."""
        if tally := self._of(function_id):
            tally.started += 1

    def container_ready(self, function_id: str, took_s: float) -> None:
        """A container's start took so long."""
        if tally := self._of(function_id):
            place = bucket(took_s * 1e6)
            tally.startup[place] = tally.startup.get(place, 0) + 1

    def container_failed(self, function_id: str) -> None:
        """A container ended otherwise than it was asked to."""
        if tally := self._of(function_id):
            tally.container_errors += 1

    def _of(self, function_id: str) -> Tally | None:
        function = self._core.functions.get(function_id)
        return self._tally(function) if function is not None else None

    def _tally(self, function: Function) -> Tally:
        spec = function.spec
        tally = self._tallies.get(spec.function_id)
        if tally is None:
            tally = self._tallies[spec.function_id] = Tally(
                spec.function_id,
                self.minute,
                self._epoch,
                spec.base_id or spec.function_id,
                function.app_id,
                function.environment,
            )
            self.totals.counts(tally, spec.tag)
        tally.dirty = True
        return tally

    # --- reading

    async def minutes(self, since: int, until: int, root_id: str) -> list[Counted]:
        """The minutes of a function and its variants up to this moment, those too that are not in the store yet."""
        async with self._writing:
            kept = await asyncio.to_thread(self._rows.of, since, until, root_id=root_id)
            later = [*self._owed, *map(self._now, self._tallies.values())]
        found = {(one.function_id, one.minute, one.epoch): one for one in kept}
        for one in later:
            if one.root_id == root_id and since <= one.minute < until:
                found[one.function_id, one.minute, one.epoch] = one
        return list(found.values())

    # --- writing

    async def write(self, *, containers: bool = False) -> None:
        """What is counted is in the store when this comes back, what containers did once a minute unless it is asked for.
        Raises StoreError; then the next one writes it."""
        async with self._writing:
            minute_ends = int(wall()) // MINUTE_S != self.minute
            stored = await self.stored() if minute_ends and self.stored is not None else {}
            if minute_ends or containers:
                self._owed += self.of_containers.take()
            self._gather(stored)
            owed, self._owed = self._owed, []
            if not owed:
                return
            try:
                await asyncio.to_thread(self._rows.put, owed)
            except BaseException:
                self._owed = [*owed, *self._owed][-MOST_OWED:]
                raise

    def _gather(self, stored: dict[str, int]) -> None:
        """Takes what has changed; at the end of a minute, all functions that do something, and begins the next."""
        self._count_unheard()
        minute = int(wall()) // MINUTE_S
        if minute != self.minute:
            for function in self._core.functions.values():
                if function.running or function.containers or function.queued:
                    self._tally(function)
        self._look(stored)
        for tally in self._tallies.values():
            if tally.dirty:
                tally.dirty = False
                self._owed.append(self._now(tally))
        if minute != self.minute:
            self.totals.minute_over(self._tallies.values(), self.minute, self._core.functions.keys())
            self.minute = minute
            self._tallies = {}
            self._forget()

    def _look(self, stored: dict[str, int]) -> None:
        """How many inputs wait, and how many containers there are: of a minute the most that is seen is kept."""
        for tally in self._tallies.values():
            function = self._core.functions.get(tally.function_id)
            if function is None:
                continue
            waiting = function.queued + stored.get(tally.function_id, 0)
            containers = len(function.containers)
            if waiting > tally.waiting or containers > tally.containers:
                tally.waiting = max(tally.waiting, waiting)
                tally.containers = max(tally.containers, containers)
                tally.dirty = True

    def _now(self, tally: Tally) -> Counted:
        """The row of a tally, with what its function does at this moment."""
        function = self._core.functions.get(tally.function_id)
        return Counted(
            tally.function_id,
            tally.minute,
            tally.epoch,
            tally.root_id,
            tally.app_id,
            tally.environment,
            tally.succeeded,
            tally.failed,
            tally.timed_out,
            tally.cancelled,
            tally.started,
            tally.container_errors,
            function.running if function is not None else 0,
            function.count(State.STARTING) if function is not None else 0,
            dict(tally.run),
            dict(tally.latency),
            dict(tally.startup),
            tally.waiting,
            tally.containers,
        )

    def _count_unheard(self) -> None:
        """Results that wait for a caller who is away, as whoever began a detached run is."""
        for caller in self._core.delivery.callers.values():
            if (
                caller.present
                or not caller.outbox
                or caller.outbox[-1][0].seq <= self._seen.get(caller.id, 0)
            ):
                continue
            last = self._seen.get(caller.id, 0)
            for batch, _, _ in [one for one in caller.outbox if one[0].seq > last]:
                self.delivered(caller.id, batch)

    def _forget(self) -> None:
        """Callers and calls that are no more."""
        callers, calls = self._core.delivery.callers, self._core.calls
        self._seen = {key: seq for key, seq in self._seen.items() if key in callers}
        self._marks = {key: marks for key, marks in self._marks.items() if key in calls}
