"""The way of inputs: from callers to queues, and to containers. With `results.py` the hot part of the server.

Work is done by batch: 64 inputs cost little more than one. Invariant: after an event, either nothing waits in a
function's queues or no container of it has room.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..protocol.batch import LOST, Batch
from .actions import Cancel, Run, Take
from .call import Call
from .failed import FailedInputs
from .function import Function
from .ledger import ranges
from .state import Core
from .worker import HEAVY_BYTES, Container, State

if TYPE_CHECKING:
    from .fleet import Fleet


class Flow:
    """Queues, dispatch, ends."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.failed = FailedInputs(core)
        self.fleet: Fleet  # set by the fleet

    # From callers

    def put(self, now: float, batch: Batch) -> int:
        """Inputs arrive; returns how many of them are new."""
        call = self.core.calls.get(batch.call_id)
        if call is None or call.closed:
            return 0
        added = call.add(batch)
        if added and not call.held_back:
            self.queue(call, added)
            self.fill(now, call.function)
        return added

    def release(self, now: float, call: Call) -> None:
        """The inventories are in: what waited for them may run."""
        call.held_back = False
        self.queue(call, call.queued)
        self.fill(now, call.function)

    def queue(self, call: Call, added: int) -> None:
        """Inputs of a call wait from now on."""
        function = call.function
        function.queued += added
        if not call.in_ring and call.queued:
            call.in_ring = True
            function.ring.append(call)
        if call.alone:
            self._count_alone(function)
        if function.dropped:
            self.drop_queued(call, LOST, function.dropped)

    def _count_alone(self, function: Function) -> None:
        """Where inputs that must run alone wait, containers with several get no more, so that they become empty."""
        before, function.alone = bool(function.alone), sum(len(call.alone) for call in function.ring)
        if before != bool(function.alone):
            for container in function.containers:
                function.place(container, container.idle_since)

    def unqueued(self, call: Call) -> None:
        """An input of a call waits no longer, although it was not dispatched."""
        if not call.held_back:
            function = call.function
            function.queued -= 1
            if not call.queued:
                call.in_ring = False
                function.ring.remove(call)
            if function.alone:
                self._count_alone(function)

    # To containers

    def fill(self, now: float, function: Function) -> None:
        """Gives what waits to containers that have room, short queues in equal parts."""
        available = len(function.idle) + len(function.open)
        if available and function.queued:
            share = -(-function.queued // available)
            while function.queued:
                container = function.next_container()
                if container is None or not self.give(now, container, share):
                    break
        if function.queued or (function.shares and function.running):
            self.fleet.wake(now, function)
        elif function.idle and not function.reaping:
            self.fleet.idle(now, function)

    def give(self, now: float, container: Container, share: int) -> bool:
        """One batch of the next call in turn; False where there is none."""
        function = container.function
        ring = function.ring
        batch = call = None
        while ring and batch is None:
            call = ring[0]
            batch = call.take(min(container.room(), max(share, container.least)))
            if call.queued:
                ring.rotate(-1)
            else:
                ring.popleft()
                call.in_ring = False
        if batch is None or call is None:
            return False
        count = len(batch.index)
        function.queued -= count
        function.running += count
        fills = container.batches and container.outstanding < container.full <= container.outstanding + count
        if not container.outstanding or fills:  # a full batch does not wait for more
            container.progress_at = now
        container.outstanding += count
        held = container.held.get(batch.call_id)
        if held is None:
            container.held[batch.call_id] = set(batch.index)
        else:
            held.update(batch.index)
        container.heavy = len(batch.payload) > HEAVY_BYTES
        if container.shares:
            container.exclusive = batch.index[0] in call.suspects
            if function.alone:
                self._count_alone(function)
        batch.container = container.number
        self.core.actions.append(Run(container.worker.id, batch))
        function.place(container, now)
        self.watch(now, container)
        return True

    # Stragglers

    def watch(self, now: float, container: Container) -> None:
        """A container may have more than it runs: looks soon whether it makes no progress."""
        function = container.function
        if not function.watching and container.crowded():
            self._watch(now, function)

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
                not container.crowded()
                or container.taking
                or container.slowed
                or not container.worker.present
            ):
                continue
            if now - container.begun() >= patience:
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
        """The answer to a Take, and to a Cancel: these were never run. What the container had claimed and not begun may
        follow behind the answer."""
        function = container.function
        asked, container.taking = container.taking, False
        self.back_to_queue(container, held)
        slow = asked or container.slowed
        several = container.shares and not container.batches
        # A batch that still gathers was given too little time to claim what came back.
        container.slowed = slow and container.outstanding > 0 and not several and now >= container.begun()
        function.place(container, now)
        self.fleet.rest(now, container)
        self.fill(now, function)

    def back_to_queue(self, container: Container, held: dict[str, set[int]]) -> None:
        """A container does not have these any more, and nobody has their results: they wait again, in front."""
        for call_id, indexes in held.items():
            had = container.drop(call_id, indexes)
            call = self.core.calls.get(call_id)
            if call is None:
                self.forget_early(call_id, had)
                continue
            call.function.running -= len(had)
            if call.closed:
                call.running -= len(had)
                call.end(ranges(sorted(had)))
                self.free(call)
                continue
            waiting = call.requeue(sorted(had))
            if not call.held_back:
                self.queue(call, waiting)

    def forget_early(self, call_id: str, indexes: set[int]) -> None:
        early = self.core.early_held.get(call_id)
        if early is not None:
            for index in indexes:
                early.pop(index, None)
            if not early:
                del self.core.early_held[call_id]

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

    def fail_queued(self, now: float, function: Function, code: int, payload: bytes) -> None:
        """Everything that waits for a function ends in a failure."""
        for call in self.calls_of(function):
            if not call.held_back:
                self.failed.record(now, call, call.waiting(), code, payload)
                self.drop_queued(call, code, payload)

    def calls_of(self, function: Function) -> list[Call]:
        """The calls of a function that are open."""
        return [call for call in self.core.calls.values() if call.function is function]

    def drop_queued(self, call: Call, code: int, payload: bytes) -> None:
        """Everything that waits in a call ends; its caller hears it unless the call is closed."""
        function = call.function
        if not call.held_back:
            function.queued -= call.queued
        if call.in_ring:
            call.in_ring = False
            function.ring.remove(call)
        self.fail(call, call.drop_queue(), code, payload)
        if function.alone:
            self._count_alone(function)

    def close(self, now: float, call: Call) -> None:
        """The caller wants no more of a call: what waits is dropped, what runs is interrupted."""
        call.closed = True
        self.drop_queued(call, LOST, b"")
        if call.running:
            for container in [c for c in call.function.containers if call.id in c.held]:
                self.interrupt(now, container, call)
        self.free(call)
        if self.fleet.line.line:
            self.fleet.room_soon(now)  # its function may need no room any more, or no container that starts
        if call.function.shares:
            self.fill(now, call.function)  # what had to run alone holds the others up no more

    def interrupt(self, now: float, container: Container, call: Call) -> None:
        """Asks for the end of what a container has of a closed call; the container goes on with other work."""
        settings = self.core.settings
        if container.worker.present and container.state is not State.STOPPING:
            indexes = sorted(container.held[call.id])
            self.core.actions.append(
                Cancel(container.worker.id, container.number, call.id, indexes, settings.cancel_grace_s)
            )

        def stop(then: float) -> None:
            if call.id in container.held:
                self.fleet.stop(then, container, 0.0, "its call was cancelled")

        self.core.timers.at(now + settings.cancel_grace_s + settings.cancel_margin_s, stop)

    def abandon(self, now: float, call: Call) -> None:
        """A closed call is made again while something of it runs still: that is not waited for."""
        for container in [c for c in call.function.containers if call.id in c.held]:
            had = container.drop(call.id, set(container.held[call.id]))
            call.running -= len(had)
            call.function.running -= len(had)
            call.end(ranges(sorted(had)))
            self.fleet.stop(now, container, 0.0, "its call was made again")
        self.free(call)

    def free(self, call: Call) -> None:
        """A closed call that no container has anything of is forgotten."""
        if call.closed and not call.running and self.core.calls.get(call.id) is call:
            del self.core.calls[call.id]
            call.caller.calls.discard(call.id)
            self.core.delivery.forget(call.caller)
            self.fleet.unneeded(call.function)
