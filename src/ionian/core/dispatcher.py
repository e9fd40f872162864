"""The dispatcher: events go in, actions come out. It does no I/O and reads no clock.

    dispatcher = Dispatcher(epoch=1, known_workers=set())
    dispatcher.add_function(now, spec, app_id="ap-…", environment="main")
    dispatcher.open_call(now, call_id, function_id, caller="cl-…")
    dispatcher.put(now, batch)
    for action in dispatcher.take():
        ...

`now` is in seconds, of a monotonic clock. Each method is one event; the work is in the parts: `Flow` (inputs and
results), `Fleet` (containers), `Recovery` (workers), `Delivery` (callers).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..protocol.batch import Batch
from ..protocol.ids import new_id
from ..protocol.spec import FunctionSpec, Scaling
from ..protocol.workers import Capacity, ContainerState, Running, TakenBack
from .actions import Action
from .answers import Answers
from .call import Call
from .delivery import Caller
from .endings import Endings
from .fleet import Fleet
from .flow import Flow
from .function import Function
from .guests import Guests
from .invariants import check
from .recovery import Recovery
from .results import Results
from .retries import Retries
from .state import Core, Settings
from .versions import INTERRUPT_S, Versions
from .worker import State, rows_of

LOOK_AGAIN_S = 10.0
"""So often calls without a caller are looked at, whether they have ended."""


class Dispatcher(Answers):
    """Decides where and when every input of every call runs. What it can be asked is in `Answers`."""

    def __init__(
        self,
        *,
        epoch: int,
        known_workers: set[str] | None = None,
        worker_lost_after_s: float = 60.0,
        inventory_wait_s: float = 10.0,
        make_id: Callable[[str], str] = new_id,
    ) -> None:
        """`known_workers`: those that were there before this start of the server, and may have inputs."""
        settings = Settings(worker_lost_after_s=worker_lost_after_s, inventory_wait_s=inventory_wait_s)
        self.core = Core(epoch, settings, make_id)
        self.flow = Flow(self.core)
        self.fleet = Fleet(self.core, self.flow)
        retries = Retries(self.core, self.flow)
        self.endings = Endings(self.core, self.flow, self.fleet, retries)
        self.inbox = Results(self.core, self.flow, self.fleet, retries)
        self.versions = Versions(self.core, self.flow, self.fleet)
        self.recovery = Recovery(
            self.core, self.flow, self.fleet, self.endings, self.inbox, known_workers or set()
        )
        super().__init__(self.core, self.fleet.line, Guests(self.core))
        self.guests.freed = lambda: self.fleet.room_soon(self.now)
        self.detached: set[str] = set()
        self._begun = False

    def _at(self, now: float) -> None:
        self.now = now
        if not self._begun:
            self._begun = True
            self.core.begun_at = now
            self.recovery.begin(now)

    # Apps

    def add_function(self, now: float, spec: FunctionSpec, app_id: str, environment: str) -> None:
        """A function can be called from now on; one that is known has a new version.

        Where its containers would differ, those that it has get no new inputs and end with what they run. Else
        (`versions.same_containers`) they stay.
        """
        self._at(now)
        self.versions.add(now, spec, app_id, environment)

    def rollover(self, now: float, function_id: str) -> bool:
        """Containers of a function are replaced: those that it has end with what they run. False: no such function."""
        function = self._function(now, function_id)
        if function is not None:
            self.versions.renew(now, function)
        return function is not None

    def recreate(self, now: float, function_id: str) -> bool:
        """Containers of a function are replaced at once: what they run runs again, and is not counted as a retry."""
        function = self._function(now, function_id)
        if function is not None:
            self.versions.recreate(now, function)
        return function is not None

    def remove_function(self, now: float, function_id: str) -> bool:
        """A deploy has it no more: what waits ends in that failure, what runs goes on to its end."""
        function = self._function(now, function_id)
        if function is not None:
            self.versions.drop(now, function)
        return function is not None

    def scale(self, now: float, function_id: str, scaling: Scaling) -> bool:
        """A function has other numbers of containers, until it is added again. False: no such function."""
        function = self._function(now, function_id)
        if function is not None:
            self.versions.scale(now, function, scaling)
        return function is not None

    def _function(self, now: float, function_id: str) -> Function | None:
        self._at(now)
        function = self.core.functions.get(function_id)
        return function if function is not None and not function.dropped else None

    def detach_app(self, app_id: str) -> None:
        """The calls of this app go on without their callers."""
        self.detached.add(app_id)

    def has_calls(self, app_id: str) -> bool:
        """Whether calls of this app are under way, or have results that their callers have not confirmed."""
        return any(call.function.app_id == app_id for call in self.core.calls.values())

    def remove_app(self, now: float, app_id: str) -> None:
        """An app has ended: its containers are stopped, its calls end."""
        self._at(now)
        self.detached.discard(app_id)
        self.versions.remove_app(now, app_id)

    def image_state(self, now: float, worker_id: str, image_id: str, *, there: bool) -> None:
        """A worker has an image, or has it no more: containers go first where their image is."""
        self._at(now)
        worker = self.core.workers.get(worker_id)
        if worker is not None:
            (worker.images.add if there else worker.images.discard)(image_id)
            worker.moved()

    def image_building(self, image_id: str, building: bool) -> None:
        """An image is being built, or is so no more: what waits for it says so."""
        (self.core.building.add if building else self.core.building.discard)(image_id)

    # Callers

    def open_call(
        self,
        now: float,
        call_id: str,
        function_id: str,
        caller: str,
        resumed: bool = False,
        used: Mapping[int, tuple[int, int]] | None = None,
    ) -> bool:
        """A call begins, or its caller is back with it. False: there is no such function.

        `resumed`: its inputs may have been sent to an earlier epoch, so the inventories are waited for. `used`: retries,
        and the attempt, of those that have failed there (see `Tried`).
        """
        function = self._function(now, function_id)
        known = self.core.calls.get(call_id)
        if known is not None and known.given_up and known.caller.id == caller:
            self.flow.abandon(now, known)
        elif known is not None:
            return True
        if function is None:
            return False
        owner = self.core.delivery.caller(caller)
        if owner.dropped:  # it was away for so long that its calls ended, and makes them again
            owner.dropped, owner.present = False, True
        call = Call(call_id, function, owner, self.core.first_attempt)
        if known is not None:
            call.anew(known)
        call.opened_at = now
        call.held_back = resumed and not self.core.settled
        for index, (retries, attempt) in (used or {}).items():
            call.retries[index], call.attempts[index] = retries, attempt
        owner.calls.add(call_id)
        self.core.calls[call_id] = call
        self.recovery.opened(now, call)
        return True

    def put(self, now: float, batch: Batch) -> int:
        """Inputs of an open call; returns how many are new. Sending some again is harmless."""
        return self.flow.put(now, batch)

    def close_call(self, now: float, call_id: str) -> None:
        """The caller wants no more of a call: nothing of it starts any more, what runs of it is interrupted."""
        call = self.core.calls.get(call_id)
        if call is not None and not call.closed:
            self.flow.close(now, call)

    def cancel_call(self, now: float, call_id: str, terminate: bool = False) -> None:
        """Ends a call for good: what waits is dropped, what runs has some seconds to clean up, nobody gets results.

        `terminate`: the containers that run it are stopped at once, and their other inputs run elsewhere.
        """
        call = self.core.calls.get(call_id)
        if call is None:
            return
        if not call.closed:
            self.flow.close(now, call)
        if terminate:
            for container in [c for c in call.function.containers if call_id in c.held]:
                self.fleet.stop(now, container, 0.0, "its call was cancelled")

    def confirm(self, now: float, caller: str, seq: int) -> None:
        """The caller has all that was delivered to it up to `seq`."""
        owner = self.core.delivery.callers.get(caller)
        if owner is not None:
            self.core.delivery.confirm(owner, seq)

    def caller_gone(self, now: float, caller: str) -> None:
        """The caller's connection is lost. Its results are kept a while, then its calls end. Those of a detached app do not:
        what they give is kept until all have ended."""
        self._at(now)
        owner = self.core.delivery.callers.get(caller)
        if owner is None:
            return
        owner.present = False
        owner.gone_at = now

        def check(then: float) -> None:
            if owner.present or owner.gone_at != now:
                return
            if any(call.under_way for call in self._detached(owner)):
                self.core.timers.at(then + LOOK_AGAIN_S, check)
            else:
                self._drop(then, owner)

        self.core.timers.at(now + self.core.settings.caller_lost_after_s, check)

    def caller_back(self, now: float, caller: str) -> None:
        """The caller is connected again: what it has not confirmed is delivered again."""
        owner = self.core.delivery.callers.get(caller)
        if owner is not None and not owner.dropped:
            self.core.delivery.back(owner)

    def drop_caller(self, now: float, caller: str) -> None:
        """The caller has ended and will not come back."""
        owner = self.core.delivery.callers.get(caller)
        if owner is not None:
            owner.present = False
            self._drop(now, owner)

    def _detached(self, caller: Caller) -> list[Call]:
        calls = [self.core.calls[id] for id in caller.calls]
        return [call for call in calls if call.function.app_id in self.detached]

    def _drop(self, now: float, caller: Caller) -> None:
        if caller.dropped:
            return
        self.core.delivery.drop(caller)
        for call in [self.core.calls[id] for id in caller.calls]:
            if call.function.app_id in self.detached:
                self._close_when_done(now, call)
            elif not call.closed:
                call.given_up = True
                self.flow.close(now, call)

    def _close_when_done(self, now: float, call: Call) -> None:
        """A call that nobody waits for ends when its inputs have."""
        if call.closed:
            return
        if not call.under_way:
            self.flow.close(now, call)
        else:
            self.core.timers.at(now + LOOK_AGAIN_S, lambda then: self._close_when_done(then, call))

    # Workers

    def worker_joined(
        self,
        now: float,
        worker_id: str,
        capacity: Capacity,
        containers: list[Running] | None = None,
        name: str = "",
        ending: list[Running] | None = None,
        follows: int = 0,
    ) -> None:
        """A worker is connected. Its unconfirmed results are to follow, then the ends of containers.

        `name`: what people call it. `ending`: containers that end by themselves. `follows`: how many batches of
        results do.
        """
        self._at(now)
        self.recovery.joined(now, worker_id, capacity, containers or [], ending or [], follows)
        self.core.workers[worker_id].name = name or worker_id

    def worker_gone(self, now: float, worker_id: str, *, dead: bool = False) -> None:
        """A worker's connection is lost; `dead`: its process and with it its containers are known to be gone."""
        self._at(now)
        self.recovery.gone(now, worker_id, dead)

    def container_state(
        self, now: float, worker_id: str, state: ContainerState, payload: bytes = b""
    ) -> None:
        """A container is ready or has ended; the payload is the pickled failure of an import."""
        worker = self.core.workers.get(worker_id)
        container = worker.containers.get(state.number) if worker is not None else None
        if container is None:
            if worker is not None and state.state == "ended" and worker.stranger_ended(state.number):
                self.fleet.room(now)
            return
        if state.state == "ready":
            self.fleet.ready(now, container)
        elif state.state == "ended":
            self.endings.ended(now, container, state, payload)

    def end_container(self, now: float, container_id: str, *, graceful: bool) -> bool:
        """Ends a container whose inputs then run elsewhere; `graceful`: what it runs may end first. False: not there.

        What it runs is interrupted as by Ctrl-C, and has its cleanup; who asks once more ends it at once.
        """
        for worker in self.core.workers.values():
            for container in worker.containers.values():
                if container.id == container_id:
                    if graceful:
                        self.fleet.retire(now, container, "it was told to end")
                    else:
                        grace_s = 0.0 if container.state is State.STOPPING else INTERRUPT_S
                        self.fleet.stop(now, container, grace_s, "it was told to end")
                    self.fleet.wake(now, container.function)
                    return True
        return False

    def taken_back(self, now: float, worker_id: str, message: TakenBack) -> None:
        """The answer to a Take; also to a Run for a container that the worker has no more."""
        worker = self.core.workers.get(worker_id)
        container = worker.containers.get(message.number) if worker is not None else None
        if container is not None:
            self.flow.taken_back(now, container, rows_of(message.inputs))

    def results(self, now: float, worker_id: str, batch: Batch) -> None:
        """Results of one call from one container. The batch becomes the dispatcher's own."""
        worker = self.core.workers.get(worker_id)
        if worker is not None:
            self.inbox.results(now, worker, batch)
            if worker.following:
                self.recovery.followed(now, worker)

    # Time, and what comes out

    def next_tick(self) -> float | None:
        """When `tick` wants to be called; None: not before the next event."""
        return self.core.timers.next()

    def tick(self, now: float) -> None:
        """Time has passed."""
        self.now = now
        self.core.timers.run(now)

    def take(self) -> list[Action]:
        """What is to be done now; to be asked for after every event."""
        actions = self.core.actions
        if not actions:
            return []
        taken = actions[:]
        actions.clear()
        return taken

    def check(self) -> None:
        """Raises AssertionError where the books don't add up; for tests."""
        check(self.core)
