"""What follows from the end of a container: its inputs go back, and the failure finds its input or its function."""

from __future__ import annotations

from ..protocol.batch import ERROR, LOST
from ..protocol.ids import input_id
from ..protocol.workers import ContainerState, Held
from . import failures
from .call import Call
from .fleet import Fleet
from .flow import Flow
from .retries import Retries
from .state import Core
from .worker import Container, State, rows_of

START_TRIES = 3
START_BACKOFF_S = (0.25, 1.0)
CRASH_BACKOFF_S = 2.0
CRASH_BACKOFF_MOST_S = 60.0
"""Between rounds of starts that nobody waits for (`min_containers` of broken code): doubled up to this."""

DEATHS = 3
"""An input that was running in so many containers that died of it ends in that error."""


class Endings:
    """Takes the news that containers have ended."""

    def __init__(self, core: Core, flow: Flow, fleet: Fleet, retries: Retries) -> None:
        self.core = core
        self.flow = flow
        self.fleet = fleet
        self.retries = retries

    def ended(self, now: float, container: Container, state: ContainerState, payload: bytes) -> None:
        """A container is no more."""
        function = container.function
        asked = container.state is State.STOPPING
        self.core.usage.add(function.app_id, function.spec.function_id, state.usage)
        self.fleet.remove(container)
        culprit = False
        if not asked or state.ended == "timeout":
            culprit = self._culprit(now, container, state)
        self.requeue_all(now, container, running=state.running)
        if not asked and not culprit and state.ended not in ("stopped", "timeout"):
            self._start_failed(now, container, state, payload)
        self.flow.fill(now, function)
        if not function.queued:
            self.fleet.wake(now, function)  # its minimum may be missing one
        self.fleet.room(now)

    def requeue_all(self, now: float, container: Container, running: list[Held] | None = None) -> None:
        """Everything that a container had waits again, in front. `running`: what it may have begun (None: all)."""
        begun = {call_id: set(rows) for call_id, rows in container.held.items()}
        if running is not None:
            begun = rows_of(running)
        for call_id, indexes in begun.items():
            call = self.core.calls.get(call_id)
            if call is not None and not call.closed:
                for index in sorted(
                    indexes & call.yielded
                ):  # its caller has items of it: it can't begin again
                    payload = failures.half_generated(call.function.spec)
                    self._fail(now, container, call, index, payload)
        self.flow.back_to_queue(container, {id: set(rows) for id, rows in container.held.items()})

    def _fail(self, now: float, container: Container, call: Call, index: int, payload: bytes) -> None:
        if index in container.held.get(call.id, ()):
            self.flow.failed.record(now, call, [(index, index + 1)], LOST, payload)
            self.flow.fail_held(container, call, index, LOST, payload)

    def _culprit(self, now: float, container: Container, state: ContainerState) -> bool:
        """Finds the input of which a container died, and counts it against it; whether there was one."""
        first = next((held for held in state.running if held.index), None)
        if first is None or state.ended not in ("exit", "signal", "memory", "timeout"):
            return False
        spec = container.function.spec
        if state.ended != "timeout" and container.shares and sum(len(h.index) for h in state.running) > 1:
            self._suspect(container, state.running)
            return True
        call, index = self.core.calls.get(first.call_id), first.index[0]
        if call is None or call.closed or index not in container.held.get(call.id, ()):
            return True
        if state.ended != "timeout":
            call.suspects.update(first.index)
        if self.retries.again_held(now, container, call, index):
            return True
        if state.ended == "timeout":
            self._fail(now, container, call, index, failures.timed_out(spec, input_id(call.id, index)))
            return True
        deaths = call.deaths[index] = call.deaths.get(index, 0) + 1
        if deaths >= DEATHS or (spec.retries is not None and spec.retries.max_retries):
            times = max(deaths, call.retries.get(index, 0) + 1)
            self._fail(
                now, container, call, index, failures.died(spec, state, times, input_id(call.id, index))
            )
        return True

    def _suspect(self, container: Container, running: list[Held]) -> None:
        """Of several that ran nobody knows which it was: none is blamed, each runs alone next."""
        for held in running:
            call = self.core.calls.get(held.call_id)
            if call is not None and not call.closed:
                call.suspects.update(container.held.get(held.call_id, set()).intersection(held.index))

    def _start_failed(self, now: float, container: Container, state: ContainerState, payload: bytes) -> None:
        """Tried again a few times; then what waits ends with that error, and later calls try anew."""
        function = container.function
        if container.wave < function.failures or container.generation != function.generation:
            return  # it was started together with one that failed before: one try; or it was of older code
        function.failures += 1
        function.trouble = state.detail
        if function.failures < START_TRIES:
            function.retry_at = now + START_BACKOFF_S[function.failures - 1]
            return
        function.failures = 0
        if function.count(State.READY):
            return  # it does start elsewhere
        pause = min(CRASH_BACKOFF_S * 2 ** min(function.crashes, 16), CRASH_BACKOFF_MOST_S)
        function.crashes += 1
        function.retry_at = now + pause
        if state.ended == "import" and payload:
            self.flow.fail_queued(now, function, ERROR, payload)
        else:
            failure = failures.not_started(function.spec, state, START_TRIES)
            self.flow.fail_queued(now, function, LOST, failure)
