"""Containers: how many, where, and when they end."""

from __future__ import annotations

from itertools import islice
from math import inf

from .actions import Start, Stop
from .autoscaler import desired, kept_idle
from .flow import Flow
from .function import Function
from .room import Room
from .state import Core
from .worker import Container, State

STARTS_AT_ONCE = 32
"""Then others have their turn."""

A_SHARE = 16
"""A function with many starts this share of them at once: each look counts them all."""

SOME = 32
"""So many containers tell how fast the others are."""

MANY = 500
"""Containers of one function from which on it is looked at less often: each look counts them all."""


RETIRED = "others take its place"


class Fleet:
    """Starts and stops containers."""

    def __init__(self, core: Core, flow: Flow) -> None:
        self.core = core
        self.flow = flow
        flow.fleet = self
        self._looking = False
        self.line = Room(core)

    # How many

    def wake(self, now: float, function: Function) -> None:
        """A function's load has changed: looks at once, but not again and again."""
        if function.removed or function.dropped:
            return
        every = self.core.settings.scale_every_s * max(1.0, len(function.containers) / MANY)
        due = function.scaled_at + every
        first = not function.containers and function not in self.line.line  # someone waits for a cold start
        if first or now >= due:
            self._scale(now, function)
        else:
            self._again(function, due)

    def rescale(self, now: float, function: Function) -> None:
        """How many containers it may have, and for how long, has changed."""
        function.scaled_at = -1.0
        function.over = len(function.containers)
        function.reaping = False
        self.idle(now, function)

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
        if function.removed or function.dropped:
            self.line.leave(function)
            return
        spec = function.spec
        wanted = desired(spec.scaling, function.load(now))
        leaving = sum(
            c.state is State.STOPPING or c.retired or c.worker.absent(now) for c in function.containers
        )
        live = len(function.containers) - leaving
        most = spec.scaling.max_containers
        if most:
            wanted = min(wanted, most - leaving)  # what is told to end, or out of reach, still runs
        upto = min(wanted, live + max(STARTS_AT_ONCE, live // A_SHARE))
        before, room = live, True
        while room and live < upto and self._may_start(now, function):
            room = self._start(now, function)
            live += room
        if room and function in self.line.line:
            self.line.leave(function)
            if self.line.line:
                self.room_soon(now)  # its claim holds the others up no more
        elif not room:
            self._wait(now, function, behind=live > before)
        if upto < wanted and live == upto:
            self._again(function, now + self.core.settings.scale_every_s)
        if most and live > most:
            self._shrink(now, function, live - most, f"max_containers is {most}")
        if function.idle:
            self.idle(now, function)
        if function.queued and function not in self.line.line and not (most and live + leaving >= most):
            self._again(function, now + self.core.settings.look_again_s)

    def _shrink(self, now: float, function: Function, count: int, reason: str) -> None:
        """There are more than there may be: the idle ones end first, then those that start, then the busy ones."""
        there = [c for c in function.containers if not c.retired and c.state < State.STOPPING]
        there.sort(key=lambda c: (c.outstanding, c.state is State.READY))
        for container in there[:count]:
            self.retire(now, container, reason)

    def _may_start(self, now: float, function: Function) -> bool:
        """After a failed start one at a time, and not at once; where a maximum holds, not before all are counted."""
        if function.spec.scaling.max_containers and not self.core.settled:
            return False
        if not function.failures and (not function.crashes or function.queued):
            return True
        if now < function.retry_at:
            self._again(function, function.retry_at)
            return False
        return not any(
            c.state is State.STARTING and not c.retired and not c.worker.absent(now)
            for c in function.containers
        )

    def _start(self, now: float, function: Function) -> bool:
        found = self.line.find(function)
        if found is None:
            return False
        worker, reservation = found
        number = self.core.next_number(worker.id)
        container = Container(worker, number, self.core.make_id("ta"), function, reservation)
        container.wave = function.failures
        container.since = container.born = now
        self.adopt(container)
        worker.node.starting += 1
        id, devices = function.spec.function_id, reservation.devices
        self.core.actions.append(Start(worker.id, number, container.id, id, devices))
        return True

    def adopt(self, container: Container) -> None:
        """A container is there, or will be: it counts, and its resources are taken."""
        container.pace_us = -1.0
        container.worker.containers[container.number] = container
        container.worker.node.take(container.reservation)
        container.function.containers[container] = None

    def _wait(self, now: float, function: Function, *, behind: bool) -> None:
        """There is no room: others that are idle make some, or the function waits."""
        self.line.wait(now, function, behind=behind)
        if self.core.places.has_room(function.spec.resources):
            return  # so many start there already that this would be late, too; or others came first
        idle = self.line.idle_ones(now, function)
        if idle is not None:
            for other in idle:
                self.stop(now, other, self.core.settings.stop_grace_s, "others need its room")
            return  # their ends wake it
        for other in self.line.busy_ones(now, function) or ():
            self.line.yields(now, other.function)
            self.retire(now, other, "others have waited for its room")
        turn = self.line.next_turn(now, function)
        if turn is not None:
            self._again(function, turn)

    def room(self, now: float) -> None:
        """Resources were freed: those that wait for some look again."""
        for function in self.line.order():
            self.wake(now, function)

    def room_soon(self, now: float) -> None:
        """Resources may have been freed, or may be: those that wait look again, but not each time."""
        if not self._looking:
            self._looking = True
            self.core.timers.at(now + self.core.settings.scale_every_s, self._look)

    def _look(self, now: float) -> None:
        self._looking = False
        self.room(now)

    # Idle ones

    def idle(self, now: float, function: Function) -> None:
        """Some of a function's containers are idle: they end after its scaledown window, or for others at once."""
        if self.line.line and function.idle:
            self.room_soon(now)
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
        container.worker.leaving[container] = None
        container.since = now
        container.doomed = grace_s == 0
        container.function.place(container, now)
        if container.worker.present:
            self.core.actions.append(Stop(container.worker.id, container.number, grace_s, reason))

    def retire(self, now: float, container: Container, reason: str) -> None:
        """A container gets no more inputs: it ends when what it runs has ended."""
        if container.retired or container.state in (State.STOPPING, State.GONE):
            return
        container.retired = True
        container.worker.leaving[container] = None
        if container.state is State.STARTING or not container.outstanding:
            self.stop(now, container, self.core.settings.stop_grace_s, reason)
            return
        container.function.place(container, now)
        self.flow.take_back(now, container)

    def rest(self, now: float, container: Container) -> None:
        """A container has nothing to run: it ends where it is not to get more."""
        if container.retired and not container.outstanding and container.state is State.READY:
            self.stop(now, container, self.core.settings.stop_grace_s, RETIRED)

    def unneeded(self, function: Function) -> None:
        """Forgets a function that a deploy has dropped, once nothing of it is left."""
        if not function.dropped or function.containers or self.flow.calls_of(function):
            return
        if self.core.functions.get(function.spec.function_id) is function:
            del self.core.functions[function.spec.function_id]
            self.flow.failed.forget(function.spec.function_id)

    # What workers tell

    def ready(self, now: float, container: Container) -> None:
        """User code is imported: inputs may come."""
        if container.state is not State.STARTING:
            return
        container.worker.node.starting -= 1
        container.state = State.READY
        container.since = now
        self.core.building.discard(container.function.spec.image_id)
        function = container.function
        if function.pace_s >= 0:
            first = islice(function.containers, SOME)
            known = [c.pace_us for c in first if c.pace_us >= 0]
            container.pace_us = max(known, default=-1.0)
        container.tune()
        function.place(container, now)
        self.flow.fill(now, function)
        self.idle(now, function)
        self.room(now)

    def remove(self, container: Container) -> None:
        """Takes a container off the books; its inputs are still on it."""
        if container.state is State.GONE:
            return
        if container.state is State.STARTING:
            container.worker.node.starting -= 1
        container.state = State.GONE
        container.worker.containers.pop(container.number, None)
        container.worker.leaving.pop(container, None)
        self.core.building.discard(container.function.spec.image_id)  # it may have been its build that failed
        container.worker.node.give_back(container.reservation)
        container.function.forget(container)
        self.unneeded(container.function)
