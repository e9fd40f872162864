"""The way of inputs: from callers to queues, to containers, and back as results. The hot part of the server.

Work is done by batch: 64 inputs cost little more than one. Invariant: after an event, either nothing waits in a
function's queues or no container of it has room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.batch import BLOB, LOST, YIELD, Batch
from . import failures
from .actions import Run, Take
from .call import Call
from .delivery import pick
from .function import Function
from .ledger import QUEUED, UNKNOWN, ranges
from .state import Core
from .worker import HEAVY_BYTES, Container, State, Worker

if TYPE_CHECKING:
    from .fleet import Fleet

YIELD_BLOB = YIELD | BLOB


class Flow:
    """Queues, dispatch, results."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.fleet: Fleet  # set by the fleet

    # From callers

    def put(self, now: float, batch: Batch) -> int:
        """Inputs arrive; returns how many of them are new."""
        call = self.core.calls.get(batch.call_id)
        if call is None or call.closed:
            return 0
        added = call.add(batch)
        if added and not call.held_back:
            self._queue(call, added)
            self.fill(now, call.function)
        return added

    def release(self, now: float, call: Call) -> None:
        """The inventories are in: what waited for them may run."""
        call.held_back = False
        self._queue(call, call.queued)
        self.fill(now, call.function)

    def _queue(self, call: Call, added: int) -> None:
        call.function.queued += added
        if not call.in_ring and call.queued:
            call.in_ring = True
            call.function.ring.append(call)

    def unqueued(self, call: Call) -> None:
        """An input of a call waits no longer, although it was not dispatched."""
        if not call.held_back:
            call.function.queued -= 1
            if not call.queued:
                call.in_ring = False
                call.function.ring.remove(call)

    # To containers

    def fill(self, now: float, function: Function) -> None:
        """Gives what waits to containers that have room, short queues in equal parts."""
        available = len(function.idle) + len(function.open)
        if available and function.queued:
            share = -(-function.queued // available)
            while function.queued:
                if function.idle:
                    container = function.idle.popitem()[
                        0
                    ]  # the last used: its caches are warm, others may end
                elif function.open:
                    container = next(iter(function.open))
                else:
                    break
                if not self._give(now, container, share):
                    break
        if function.queued:
            self.fleet.wake(now, function)
        elif function.idle and not function.reaping:
            self.fleet.idle(now, function)

    def _give(self, now: float, container: Container, share: int) -> bool:
        """One batch of the next call in turn; False where there is none."""
        function = container.function
        ring = function.ring
        batch = None
        while ring and batch is None:
            call = ring[0]
            batch = call.take(min(container.room(), max(share, container.least)))
            if call.queued:
                ring.rotate(-1)
            else:
                ring.popleft()
                call.in_ring = False
        if batch is None:
            return False
        count = len(batch.index)
        function.queued -= count
        function.running += count
        if not container.outstanding:
            container.progress_at = now
        container.outstanding += count
        held = container.held.get(batch.call_id)
        if held is None:
            container.held[batch.call_id] = set(batch.index)
        else:
            held.update(batch.index)
        container.heavy = len(batch.payload) > HEAVY_BYTES
        batch.container = container.number
        self.core.actions.append(Run(container.worker.id, batch))
        function.place(container, now)
        if container.outstanding > 1 and not function.watching:
            self._watch(now, function)
        return True

    # Stragglers

    def _watch(self, now: float, function: Function) -> None:
        function.watching = True
        self.core.timers.at(now + self.core.settings.straggler_s, lambda then: self._look(then, function))

    def _look(self, now: float, function: Function) -> None:
        """Takes work back from containers that make no progress."""
        function.watching = False
        settings = self.core.settings
        free = bool(function.idle) or not function.queued
        patience = settings.straggler_s if free else settings.busy_straggler_s
        again = False
        for container in list(function.containers):
            if (
                container.outstanding < 2
                or container.taking
                or container.slowed
                or not container.worker.present
            ):
                continue
            if now - container.progress_at >= patience:
                self.take_back(now, container)
            else:
                again = True
        if again:
            self._watch(now, function)

    def take_back(self, now: float, container: Container) -> None:
        """Asks for what the container has not claimed; it gets nothing until the answer is here."""
        if not container.taking and container.worker.present:
            container.taking = True
            container.function.place(container, now)
            self.core.actions.append(Take(container.worker.id, container.number))

    def taken_back(self, now: float, container: Container, held: dict[str, set[int]]) -> None:
        """The answer: these were never run."""
        function = container.function
        container.taking = False
        self.back_to_queue(container, held)
        container.slowed = container.outstanding > 0
        self._end_closed(now, container)
        function.place(container, now)
        self.fill(now, function)

    def _end_closed(self, now: float, container: Container) -> None:
        """What a container still runs of a closed call may end by itself, but not for long."""
        if not any((call := self.core.calls.get(id)) is not None and call.closed for id in container.held):
            return

        def stop(then: float) -> None:
            calls = [self.core.calls.get(id) for id in container.held]
            if any(call is not None and call.closed for call in calls):
                self.fleet.stop(then, container, 0.0, "its call was cancelled")

        self.core.timers.at(now + self.core.settings.cancel_grace_s, stop)

    def back_to_queue(self, container: Container, held: dict[str, set[int]]) -> None:
        """A container does not have these any more, and nobody has their results: they wait again, in front."""
        for call_id, indexes in held.items():
            had = container.drop(call_id, indexes)
            call = self.core.calls.get(call_id)
            if call is None:
                self._forget_early(call_id, had)
                continue
            call.function.running -= len(had)
            if call.closed:
                call.running -= len(had)
                call.end(ranges(sorted(had)))
                self.free(call)
                continue
            waiting = call.requeue(sorted(had))
            if not call.held_back:
                self._queue(call, waiting)

    def _forget_early(self, call_id: str, indexes: set[int]) -> None:
        early = self.core.early_held.get(call_id)
        if early is not None:
            for index in indexes:
                early.pop(index, None)
            if not early:
                del self.core.early_held[call_id]

    # Results

    def results(self, now: float, worker: Worker, batch: Batch) -> None:
        """Results arrive. Nearly always all rows are fresh: then the batch goes on as it came."""
        if batch.seq in worker.unconfirmed:
            return  # it was offered again; its confirmation is on its way
        container = worker.containers.get(batch.container)
        call = self.core.calls.get(batch.call_id)
        if container is None or call is None or not self._fresh(now, container, call, batch):
            self._some_results(now, worker, container, call, batch)

    def _fresh(self, now: float, container: Container, call: Call, batch: Batch) -> bool:
        """Takes a batch whose rows all end inputs that the container has in their only attempt."""
        index, code = batch.index, batch.code
        count = len(index)
        held = container.held.get(call.id)
        if not count or held is None or call.closed or call.attempts or YIELD in code or YIELD_BLOB in code:
            return False
        if batch.attempt.count(call.first_attempt) != count or not held.issuperset(index):
            return False
        low = min(index)
        parts = [(low, low + count)] if max(index) - low == count - 1 else ranges(sorted(index))
        before = len(held)
        held.difference_update(index)
        if (
            before - len(held) != count
        ):  # a row twice: the worker is broken; what it names once is still right
            held.update(index)
            return False
        call.end(parts)
        self._progress(now, container, call, count, sum(batch.micros))
        self.core.delivery.deliver(call.caller, batch, container.worker)
        self._next(now, container)
        return True

    def _progress(self, now: float, container: Container, call: Call, count: int, micros: int) -> None:
        """The books of a container that has ended some inputs."""
        function = call.function
        call.running -= count
        function.running -= count
        function.failures = 0
        if not container.held[call.id]:
            del container.held[call.id]
        container.outstanding -= count
        function.learn((now - container.progress_at) / count)
        container.learn(micros / count)
        container.progress_at = now
        container.slowed = False

    def _next(self, now: float, container: Container) -> None:
        """A container may have room again."""
        function = container.function
        if function.spec.single_use and not container.outstanding and container.state is State.READY:
            self.fleet.stop(now, container, self.core.settings.stop_grace_s, "it is made for one input")
            return
        if function.queued:
            share = -(-function.queued // max(1, len(function.containers)))
            while function.queued and container.room():
                if not self._give(now, container, share):
                    break
            if function.queued and now - function.scaled_at > 5 * self.core.settings.scale_every_s:
                self.fleet.wake(now, function)
        function.place(container, now)
        if not container.outstanding:
            self.fleet.idle(now, function)

    def _some_results(
        self, now: float, worker: Worker, container: Container | None, call: Call | None, batch: Batch
    ) -> None:
        """The rare batches: items of generators, repeated attempts, calls that are closed or not open yet."""
        if call is None or call.closed:
            self._unwanted(now, worker, container, call, batch)
            return
        keep: list[int] = []
        ended = micros = 0
        for row, (index, attempt, code) in enumerate(
            zip(batch.index, batch.attempt, batch.code, strict=True)
        ):
            held = container is not None and index in container.held.get(call.id, ())
            if not self._accepts(call, index, attempt, held):
                continue
            keep.append(row)
            if code & ~BLOB == YIELD:
                call.yielded.add(index)
                if container is not None:
                    container.progress_at = now
                continue
            if held and container is not None:
                container.held[call.id].discard(index)
                ended += 1
                micros += batch.micros[row]
            elif call.ledger.state(index) == QUEUED:
                call.queued -= 1
                self.unqueued(call)
            call.end([(index, index + 1)])
        self.core.stale += len(batch.index) - len(keep)
        if ended and container is not None:
            self._progress(now, container, call, ended, micros)
        if keep:
            self.core.delivery.deliver(call.caller, pick(batch, keep), worker)
        else:
            self.core.delivery.release(worker, batch.seq)
        if container is not None and container.state is not State.GONE:
            self._next(now, container)

    def _accepts(self, call: Call, index: int, attempt: int, held: bool) -> bool:
        """The first recorded result wins, and only the newest attempt may give it."""
        if held:
            return attempt == call.attempt(index)
        return call.ledger.state(index) in (UNKNOWN, QUEUED) and attempt >= call.attempts.get(index, 0)

    def _unwanted(
        self, now: float, worker: Worker, container: Container | None, call: Call | None, batch: Batch
    ) -> None:
        """Results of a call that is closed, or not open (again) yet."""
        ended = {i for i, code in zip(batch.index, batch.code, strict=True) if code & ~BLOB != YIELD}
        if container is not None:
            had = container.drop(batch.call_id, ended)
            if had:
                container.progress_at = now
                container.slowed = False
                if call is None:
                    self._forget_early(batch.call_id, had)
                else:
                    call.running -= len(had)
                    call.function.running -= len(had)
                    call.end(ranges(sorted(had)))
                    self.free(call)
        if call is None and batch.attempt and max(batch.attempt) < self.core.first_attempt:
            self.core.keep_for(now, batch.call_id)
            self.core.early_results.setdefault(batch.call_id, []).append((worker, batch))
            if batch.seq:
                worker.unconfirmed.add(batch.seq)
        else:
            self.core.stale += len(batch.index)
            self.core.delivery.release(worker, batch.seq)
        if container is not None and container.state is not State.GONE:
            self._next(now, container)

    # Ends

    def fail(self, call: Call, parts: list[tuple[int, int]], code: int, payload: bytes) -> None:
        """Inputs that neither wait nor run any more end in a failure."""
        indexes = [index for start, stop in parts for index in range(start, stop)]
        if indexes and not call.closed:
            self.core.delivery.deliver_failure(call.caller, call.id, indexes, code, payload)

    def fail_held(self, container: Container, call: Call, index: int, code: int, payload: bytes) -> None:
        """An input that a container had ends in a failure."""
        if container.drop(call.id, {index}):
            call.running -= 1
            call.function.running -= 1
            call.end([(index, index + 1)])
            self.fail(call, [(index, index + 1)], code, payload)
            self.free(call)

    def fail_queued(self, function: Function, code: int, payload: bytes) -> None:
        """Everything that waits for a function ends in a failure."""
        for call in [call for call in self.core.calls.values() if call.function is function]:
            if not call.held_back:
                self.drop_queued(call, code, payload)

    def drop_queued(self, call: Call, code: int, payload: bytes) -> None:
        """Everything that waits in a call ends; its caller hears it unless the call is closed."""
        if not call.held_back:
            call.function.queued -= call.queued
        if call.in_ring:
            call.in_ring = False
            call.function.ring.remove(call)
        self.fail(call, call.drop_queue(), code, payload)

    def close(self, now: float, call: Call) -> None:
        """The caller wants no more of a call."""
        call.closed = True
        self.drop_queued(call, LOST, b"")
        for container in [c for c in call.function.containers if call.id in c.held]:
            self.take_back(now, container)
        self.free(call)

    def free(self, call: Call) -> None:
        """A closed call that no container has anything of is forgotten."""
        if call.closed and not call.running and self.core.calls.get(call.id) is call:
            del self.core.calls[call.id]
            call.caller.calls.discard(call.id)
            self.core.delivery.forget(call.caller)

    def lose(self, container: Container, call: Call, index: int) -> bool:
        """An input that may have run goes back to the queue, unless it is a generator whose caller has items."""
        if index not in call.yielded:
            return False
        self.fail_held(container, call, index, LOST, failures.half_generated(call.function.spec))
        return True
