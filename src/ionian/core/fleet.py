"""Containers: how many, where, and what follows from their ends."""

from __future__ import annotations

from math import inf

from ..protocol.batch import ERROR, LOST
from ..protocol.workers import ContainerState, Held
from . import failures
from .actions import Start, Stop
from .autoscaler import desired, kept_idle
from .flow import Flow
from .function import Function
from .placement import choose, why_not_now
from .state import Core
from .worker import Container, State, Worker, rows_of

STARTS_AT_ONCE = 32
"""Then others have their turn: each start looks at all workers."""

START_TRIES = 3
START_BACKOFF_S = (0.25, 1.0)
DEATHS = 3
"""An input that was running in so many containers that died of it ends in that error."""


class Fleet:
    """Starts and stops containers."""

    def __init__(self, core: Core, flow: Flow) -> None:
        self.core = core
        self.flow = flow
        flow.fleet = self
        self.waiting: dict[Function, None] = {}  # functions for whose next container there is no room

    # How many

    def wake(self, now: float, function: Function) -> None:
        """A function's load has changed: looks at once, but not again and again."""
        if function.removed:
            return
        due = function.scaled_at + self.core.settings.scale_every_s
        first = not function.containers and function not in self.waiting  # someone waits for a cold start
        if first or now >= due:
            self._scale(now, function)
        else:
            self._again(function, due)

    def _again(self, function: Function, when: float) -> None:
        """Looks at a function at a time, if not before."""

        def look(now: float) -> None:
            if now >= function.next_scale:
                self._scale(now, function)

        if when < function.next_scale:
            function.next_scale = when
            self.core.timers.at(when, look)

    def _scale(self, now: float, function: Function) -> None:
        function.next_scale = inf
        function.scaled_at = now
        function.waiting_for = ""
        self.waiting.pop(function, None)
        if function.removed:
            return
        spec = function.spec
        wanted = desired(spec.scaling, function.load(now))
        stopping = function.count(State.STOPPING)
        live = len(function.containers) - stopping
        most = spec.scaling.max_containers
        if most and function.queued and live >= most:
            function.waiting_for = f"all {most} of its containers are busy (max_containers={most})"
        if most:
            wanted = min(wanted, most - stopping)  # what is told to stop still runs
        upto = min(wanted, live + STARTS_AT_ONCE)
        while live < upto and self._may_start(now, function) and self._start(now, function):
            live += 1
        if upto < wanted and live == upto:
            self._again(function, now + self.core.settings.scale_every_s)
        for container in list(function.idle)[: max(0, live - most)] if most else ():
            self.stop(now, container, self.core.settings.stop_grace_s, f"max_containers is {most}")
        if function.idle:
            self.idle(now, function)
        if function.queued:
            self._again(function, now + self.core.settings.look_again_s)

    def _may_start(self, now: float, function: Function) -> bool:
        """After a failed start one at a time, and not at once; where a maximum holds, not before all are counted."""
        if function.spec.scaling.max_containers and not self.core.settled:
            return False
        if not function.failures:
            return True
        function.waiting_for = "a container of it did not start: it is tried again"
        if now < function.retry_at:
            self._again(function, function.retry_at)
            return False
        return function.count(State.STARTING) == 0

    def _start(self, now: float, function: Function) -> bool:
        workers = [worker for worker in self.core.workers.values() if worker.present]
        resources = function.spec.resources
        liked = [worker.node for worker in workers if function.spec.image_id in worker.images]
        node = choose([worker.node for worker in workers], resources, preferred=liked)
        if node is None:
            self._wait(now, function, workers)
            return False
        worker = next(worker for worker in workers if worker.node is node)
        reservation = node.find(resources)
        assert reservation is not None
        number = self.core.next_number(worker.id)
        container = Container(worker, number, self.core.make_id("ta"), function, reservation)
        container.wave = function.failures
        self.adopt(container)
        node.starting += 1
        id, devices = function.spec.function_id, reservation.devices
        self.core.actions.append(Start(worker.id, number, container.id, id, devices))
        return True

    def adopt(self, container: Container) -> None:
        """A container is there, or will be: it counts, and its resources are taken."""
        container.pace_us = -1.0
        container.worker.containers[container.number] = container
        container.worker.node.take(container.reservation)
        container.function.containers[container] = None

    def _wait(self, now: float, function: Function, workers: list[Worker]) -> None:
        """There is no room: others that are idle make some, or the function waits and says for what."""
        self.waiting[function] = None
        resources = function.spec.resources
        if any(w.node.find(resources) for w in workers):
            function.waiting_for = "its containers are starting"
            return
        function.waiting_for = why_not_now([w.node.capacity for w in workers], resources)
        for worker in workers:
            if self._make_room(now, function, worker):
                return

    def _make_room(self, now: float, function: Function, worker: Worker) -> bool:
        """Stops idle containers of others, the longest idle first, where that makes enough room."""
        spare = sorted(
            (c for c in worker.containers.values() if c in c.function.idle and c.function is not function),
            key=lambda container: container.idle_since,
        )
        leaving = [c for c in worker.containers.values() if c.state is State.STOPPING]
        chosen: list[Container] = []
        for container in [None, *spare]:
            if container is not None:
                owner = container.function
                if len(owner.idle) - sum(c.function is owner for c in chosen) <= kept_idle(
                    owner.spec.scaling, owner.load(now)
                ):
                    continue
                chosen.append(container)
            freed = [*leaving, *chosen]
            for other in freed:
                worker.node.give_back(other.reservation)
            enough = worker.node.find(function.spec.resources) is not None
            for other in freed:
                worker.node.take(other.reservation)
            if enough:
                for other in chosen:
                    self.stop(now, other, self.core.settings.stop_grace_s, "others need its room")
                return True
        return False

    def room(self, now: float) -> None:
        """Resources were freed: those that wait for some look again."""
        for function in list(self.waiting):
            self.wake(now, function)

    # Idle ones

    def idle(self, now: float, function: Function) -> None:
        """Some of a function's containers are idle: they end after its scaledown window."""
        if not function.reaping and function.idle:
            function.reaping = True
            oldest = next(iter(function.idle))
            due = oldest.idle_since + function.spec.scaling.scaledown_window_s
            self.core.timers.at(due, lambda then: self._reap(then, function))

    def _reap(self, now: float, function: Function) -> None:
        function.reaping = False
        kept = kept_idle(function.spec.scaling, function.load(now))
        for container in list(function.idle):
            if len(function.idle) <= kept:
                return  # until the next one gets idle
            if now < container.idle_since + function.spec.scaling.scaledown_window_s:
                self.idle(now, function)
                return
            self.stop(now, container, self.core.settings.stop_grace_s, "idle")

    # Stop

    def stop(self, now: float, container: Container, grace_s: float, reason: str) -> None:
        """Ends a container; it counts until it has ended."""
        if container.state is State.GONE or (container.state is State.STOPPING and container.doomed):
            return
        if container.state is State.STARTING:
            container.worker.node.starting -= 1
        container.state = State.STOPPING
        container.doomed = grace_s == 0
        container.function.place(container, now)
        if container.worker.present:
            self.core.actions.append(Stop(container.worker.id, container.number, grace_s, reason))

    # What workers tell

    def ready(self, now: float, container: Container) -> None:
        """User code is imported: inputs may come."""
        if container.state is not State.STARTING:
            return
        container.worker.node.starting -= 1
        container.state = State.READY
        function = container.function
        if function.pace_s >= 0:
            known = [c.pace_us for c in function.containers if c.pace_us >= 0]
            container.pace_us = max(known, default=-1.0)
        container.tune()
        function.place(container, now)
        self.flow.fill(now, function)
        self.idle(now, function)
        self.room(now)

    def ended(self, now: float, container: Container, state: ContainerState, payload: bytes) -> None:
        """A container is no more: its inputs go back, the failure finds its input or its function."""
        function = container.function
        asked = container.state is State.STOPPING
        self.core.usage.add(function.app_id, function.spec.function_id, state.usage)
        self.remove(container)
        culprit = self._culprit(container, state, payload) if not asked or state.ended == "timeout" else False
        self.requeue_all(container, running=state.running)
        if not asked and not culprit and state.ended not in ("stopped", "timeout"):
            self._start_failed(now, container, state, payload)
        self.flow.fill(now, function)
        if not function.queued:
            self.wake(now, function)  # its minimum may be missing one
        self.room(now)

    def remove(self, container: Container) -> None:
        """Takes a container off the books; its inputs are still on it."""
        if container.state is State.GONE:
            return
        if container.state is State.STARTING:
            container.worker.node.starting -= 1
        container.state = State.GONE
        container.worker.containers.pop(container.number, None)
        container.worker.node.give_back(container.reservation)
        container.function.forget(container)

    def requeue_all(self, container: Container, running: list[Held] | None = None) -> None:
        """Everything that a container had waits again, in front. `running`: what it may have begun (None: all)."""
        begun = {call_id: set(rows) for call_id, rows in container.held.items()}
        if running is not None:
            begun = rows_of(running)
        for call_id, indexes in begun.items():
            call = self.core.calls.get(call_id)
            if call is not None and not call.closed:
                for index in indexes & call.yielded:
                    self.flow.lose(container, call, index)
        self.flow.back_to_queue(container, {id: set(rows) for id, rows in container.held.items()})

    def _culprit(self, container: Container, state: ContainerState, payload: bytes) -> bool:
        """Finds the input of which a container died, and counts it against it; whether there was one."""
        first = next((held for held in state.running if held.index), None)
        if first is None or state.ended not in ("exit", "signal", "memory", "timeout"):
            return False
        call, index = self.core.calls.get(first.call_id), first.index[0]
        if call is None or call.closed or index not in container.held.get(call.id, ()):
            return True
        spec = container.function.spec
        if state.ended == "timeout":
            self.flow.fail_held(container, call, index, LOST, failures.timed_out(spec))
            return True
        call.suspects.update(first.index)
        deaths = call.deaths[index] = call.deaths.get(index, 0) + 1
        if deaths >= DEATHS:
            self.flow.fail_held(container, call, index, LOST, failures.died(spec, state, deaths))
        return True

    def _start_failed(self, now: float, container: Container, state: ContainerState, payload: bytes) -> None:
        """Tried again a few times; then what waits ends with that error, and later calls try anew."""
        function = container.function
        if container.wave < function.failures:
            return  # it was started together with one that failed before: one try
        function.failures += 1
        if function.failures < START_TRIES:
            function.retry_at = now + START_BACKOFF_S[function.failures - 1]
            return
        function.failures = 0
        if function.count(State.READY):
            return  # it does start elsewhere
        function.retry_at = now
        if state.ended == "import" and payload:
            self.flow.fail_queued(function, ERROR, payload)
        else:
            self.flow.fail_queued(function, LOST, failures.not_started(function.spec, state, START_TRIES))
