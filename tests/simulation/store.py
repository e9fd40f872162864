"""The server's store of spawned calls, and the clients that spawn them.

What is written is there after a kill of the server, once its commit is done. In the dispatcher the caller of these calls
is the store, which holds a window over the inputs of each function: as `server/durable.py` does it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import TYPE_CHECKING

from ionian.core.actions import Action, Tried
from ionian.protocol.batch import BLOB, Batch

if TYPE_CHECKING:
    from .server import Server
    from .world import Run1, World

STORE = "store"
RECLAIM_AFTER_S = (0.0, 1.0, 5.0, 12.0)


@dataclass
class KeptCall:
    """A call as the store has it."""

    id: str
    function_id: str
    epoch: int  # in which it was made
    stored: set[int] = field(default_factory=set[int])  # inputs
    total: int = -1  # how many they are, once the last came
    results: dict[int, int] = field(default_factory=dict[int, int])
    used: dict[int, tuple[int, int]] = field(
        default_factory=dict[int, tuple[int, int]]
    )  # retries, and attempt
    forgotten: Counter[int] = field(
        default_factory=Counter[int]
    )  # tries of which a kill came before their commit
    over: bool = False  # cancelled, or its function was removed

    @property
    def finished(self) -> bool:
        """Whether all its results are there."""
        return self.total >= 0 and len(self.results) >= self.total


class OpenCall:
    """What the process knows of a call that is under way."""

    def __init__(self, kept: KeptCall) -> None:
        self.before = set(kept.results)  # recorded before this start
        self.given = set(kept.results)
        self.fed: set[int] = set()  # the dispatcher has them
        self._waiting = sorted(kept.stored - self.given)  # a heap

    def stored(self, indexes: set[int]) -> None:
        """More of its inputs are on disk."""
        for index in indexes:
            heappush(self._waiting, index)

    def next(self, most: int) -> list[int]:
        """The first inputs, so many at most, that the dispatcher does not have, and that have no result."""
        found: list[int] = []
        while self._waiting and len(found) < most:
            index = heappop(self._waiting)
            if index not in self.given:
                found.append(index)
        return found


class Store:
    """Calls on disk, and those of them that are under way."""

    def __init__(self, world: World, server: Server) -> None:
        self.world = world
        self.server = server
        self.calls: dict[str, KeptCall] = {}
        self.window = 200  # inputs of a function that the dispatcher has at once
        self._untold: list[Tried] = []  # on their way to the disk

    def start(self) -> None:
        """The process starts: what was on its way to the disk is lost."""
        for tried in self._untold:
            self.calls[tried.call_id].forgotten[tried.index] += 1
        self._untold = []
        self.open: dict[str, OpenCall] = {}
        self._writes: list[Callable[[], None]] = []
        self._seq = 0  # of the last batch of results that is on its way to the disk
        self._looking: set[str] = set()
        for function_id in {kept.function_id for kept in self.calls.values()}:
            self._refill(function_id)

    # Writing

    def _write(self, write: Callable[[], None]) -> None:
        """Is done when the next commit is."""
        self._writes.append(write)
        if len(self._writes) == 1:
            epoch = self.server.epoch
            self.world.after(0.001 + self.world.random.random() * 0.03, lambda: self._commit(epoch))

    def _commit(self, epoch: int) -> None:
        if epoch != self.server.epoch or not self.server.alive:
            return
        if self.server.stalled:
            self.server.afterwards(lambda: self._commit(epoch))
            return
        writes, self._writes = self._writes, []
        seq, self._seq = self._seq, 0
        for write in writes:
            write()
        if seq:
            self.server.say(lambda d, now: d.confirm(now, STORE, seq))

    # Inputs

    def spawn(
        self, call_id: str, function_id: str, indexes: range, last: bool, done: Callable[[], None]
    ) -> None:
        """Inputs to keep; `done` when they are on disk."""

        def write() -> None:
            kept = self.calls.get(call_id)
            if kept is None:
                kept = self.calls[call_id] = KeptCall(call_id, function_id, self.server.epoch)
            if call_id in self.open:
                self.open[call_id].stored(set(indexes) - kept.stored)
            kept.stored.update(indexes)
            if last:
                kept.total = indexes.stop
            kept.over |= function_id in self.server.dropped
            done()
            self._refill(function_id)

        self._write(write)

    def begins(self, call_id: str, index: int, worker: str, runs: list[Run1]) -> None:
        """An input begins to run: it is on disk, and its result is not."""
        kept = self.calls.get(call_id)
        if kept is None:
            assert not call_id.startswith("fc-s"), f"{self.world.where}: {call_id} is not stored, and runs"
            return
        assert index in kept.stored, f"{self.world.where}: {call_id}:{index} is not stored, and runs"
        if index in kept.results and not kept.over:
            places = [(worker, runs[0].began if runs else 0.0), *((run.worker, run.began) for run in runs)]
            assert any(self.world.excused(call_id, *place) for place in places), (
                f"{self.world.where}: {call_id}:{index} has a recorded result, and runs"
            )

    def _refill(self, function_id: str) -> None:
        """More of a function is read, where its window has room."""
        if function_id in self._looking or function_id in self.server.dropped:
            return
        self._looking.add(function_id)
        epoch = self.server.epoch

        def read() -> None:
            if epoch == self.server.epoch and self.server.alive:
                self._looking.discard(function_id)
                self._feed(function_id)

        self.world.after(self.world.random.random() * 0.01, read)

    def _feed(self, function_id: str) -> None:
        calls = [
            c for c in self.calls.values() if c.function_id == function_id and not c.over and not c.finished
        ]
        under_way = sum(len(self.open[call.id].fed) for call in calls if call.id in self.open)
        for kept in calls:
            if under_way >= self.window:
                return
            call = self._opened(kept)
            ready = call.next(self.window - under_way)
            under_way += len(ready)
            for at in range(0, len(ready), 64):
                self._put(kept.id, call, ready[at : at + 64])

    def _put(self, call_id: str, call: OpenCall, indexes: list[int]) -> None:
        call.fed.update(indexes)
        payload = b"".join(index.to_bytes(4, "little") for index in indexes)
        batch = Batch(call_id, indexes, [4] * len(indexes), payload)
        self.server.say(lambda d, now: d.put(now, batch))

    def _opened(self, kept: KeptCall) -> OpenCall:
        call = self.open.get(kept.id)
        if call is None:
            call = self.open[kept.id] = OpenCall(kept)
            resumed = kept.epoch < self.server.epoch
            used = dict(kept.used)
            self.server.say(lambda d, now: d.open_call(now, kept.id, kept.function_id, STORE, resumed, used))
        return call

    def worker_joined(self) -> None:
        """A worker has inputs or results, perhaps of calls that wait in the store: these are opened."""
        epoch = self.server.epoch

        def reclaim() -> None:
            if epoch != self.server.epoch or not self.server.alive:
                return
            core = self.server.dispatcher.core
            for call_id in sorted({*core.early_held, *core.early_results}):
                kept = self.calls.get(call_id)
                if kept is not None and not kept.over and not kept.finished:
                    self._opened(kept)

        for after_s in RECLAIM_AFTER_S if self.calls else ():
            self.world.after(after_s, reclaim)

    # Results

    def deliver(self, batch: Batch) -> None:
        """Results: each is written once, and confirmed when it is on disk."""
        kept, call = self.calls[batch.call_id], self.open[batch.call_id]
        rows: list[tuple[int, int]] = []
        for index, code in zip(batch.index, batch.code, strict=True):
            known = index in call.given
            assert not known or index in call.before, f"{self.world.where}: two results for {kept.id}:{index}"
            if not known:
                call.given.add(index)
                rows.append((index, code & ~BLOB))

        def write() -> None:
            for index, code in rows:
                assert index not in kept.results, f"{self.world.where}: {kept.id}:{index} is recorded twice"
                kept.results[index] = code
                call.fed.discard(index)
            if (kept.finished or (kept.over and not call.fed)) and kept.id in self.open:
                self._close(kept.id)
            self._refill(kept.function_id)

        self._write(write)
        self._seq = batch.seq

    def tried(self, tried: Tried) -> None:
        """An input failed and is tried again: the next start counts on from there."""
        self._untold.append(tried)

        def write() -> None:
            self._untold.remove(tried)
            self.calls[tried.call_id].used[tried.index] = (tried.retries, tried.attempt)

        self._write(write)

    def _close(self, call_id: str) -> None:
        self.server.say(lambda d, now: d.close_call(now, call_id))

    # Ends

    def cancel(self, call_id: str, *, terminate: bool) -> None:
        """A call ends for good."""

        def write() -> None:
            kept = self.calls.get(call_id)
            if kept is not None and not kept.finished:
                kept.over = True
                self.server.say(lambda d, now: d.cancel_call(now, call_id, terminate))
                self._refill(kept.function_id)  # it takes no room in the window any more

        self._write(write)

    def function_removed(self, function_id: str) -> None:
        """A deploy dropped a function: what of it runs may end."""
        for kept in self.calls.values():
            if kept.function_id == function_id and not kept.finished:
                kept.over = True
                if kept.id in self.open and not self.open[kept.id].fed:
                    self._close(kept.id)


@dataclass
class SimSpawn:
    """A call that a client spawns."""

    id: str
    function_id: str
    count: int
    sent: int = 0
    acknowledged: set[int] = field(default_factory=set[int])
    cancelled: bool = False


class SimSpawner:
    """A client that spawns: it sends again, under the same ids, what was not acknowledged."""

    def __init__(self, world: World, id: str, calls: list[SimSpawn]) -> None:
        self.world = world
        self.id = id
        self.calls = {call.id: call for call in calls}
        self.alive = True

    @property
    def done(self) -> bool:
        """Everything is acknowledged."""
        return all(len(call.acknowledged) == call.count or call.cancelled for call in self.calls.values())

    def connected(self) -> None:
        """Sends what it may not have sent."""
        generation = self.world.links[self.id].generation
        self.world.server.hear(self, lambda d, now: self.world.back(self.id, generation))
        for call in self.calls.values():
            if call.cancelled:
                self.cancel(call, terminate=False)
            at = 0
            while at < call.count and not call.cancelled:
                upto = min(call.count, at + self.world.random.choice([1, 50, 500]))
                self._send(call, range(at, upto))
                at = upto

    def _send(self, call: SimSpawn, indexes: range) -> None:
        if call.acknowledged.issuperset(indexes):
            return
        server = self.world.server

        def acknowledge() -> None:
            server.world.links[self.id].send(1, lambda: call.acknowledged.update(indexes))

        last = indexes.stop == call.count

        def spawn(d: object, now: float) -> None:
            server.store.spawn(call.id, call.function_id, indexes, last, acknowledge)

        server.hear(self, spawn)

    def cancel(self, call: SimSpawn, *, terminate: bool) -> None:
        """Wants a call no more."""
        if self.world.links[self.id].up:
            call.cancelled = True
            self.world.server.hear(
                self, lambda d, now: self.world.server.store.cancel(call.id, terminate=terminate)
            )

    def count(self, function_id: str) -> int:
        """A client has no containers."""
        return 0

    def waiting_since(self) -> float:
        """A client runs nothing."""
        return inf

    def receive(self, action: Action) -> None:
        """It makes no calls of its own."""
        raise AssertionError("a result of a spawned call goes to the store")
