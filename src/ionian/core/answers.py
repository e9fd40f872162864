"""What the dispatcher can be asked. No answer changes anything."""

from __future__ import annotations

from ..protocol.calls import CallExplained, CallState, FunctionStats
from ..protocol.spec import Resources
from .explain import Explainer
from .guests import Guests
from .placement import fitted, why_never
from .room import Room
from .state import Core
from .usage import Ledgers
from .worker import State


class Answers:
    """The part of the dispatcher that only reads."""

    def __init__(self, core: Core, line: Room, guests: Guests) -> None:
        self.core = core
        self.guests = guests
        self.explainer = Explainer(core, line)
        self.now = 0.0  # of the last event that is not one of an input

    def state_of(self, function_id: str, now: float | None = None) -> CallState | None:
        """How a function is doing, and what it waits for."""
        function = self.core.functions.get(function_id)
        if function is None:
            return None
        return CallState(
            function_id,
            containers=function.count(State.READY),
            starting=function.count(State.STARTING),
            queued=function.queued,
            running=function.running,
            waiting_for=self.explainer.waiting_for(self.now if now is None else now, function),
            tag=function.spec.tag,
        )

    def called_by(self, caller: str) -> set[str]:
        """The functions of which a caller has open calls."""
        owner = self.core.delivery.callers.get(caller)
        calls = [self.core.calls.get(call_id) for call_id in owner.calls] if owner is not None else []
        return {call.function.spec.function_id for call in calls if call is not None}

    def explain(self, now: float, call_id: str) -> CallExplained | None:
        """Why a call has no result yet; None: it is not open here."""
        return self.explainer.call(now, call_id)

    def wanted(self, now: float) -> list[tuple[str, int, str]]:
        """Containers that are wanted and not there: the function's id, how many, and a sentence why."""
        return self.explainer.wanted(now)

    def stats(self, function_id: str) -> FunctionStats | None:
        """How a function is doing, in numbers."""
        function = self.core.functions.get(function_id)
        if function is None:
            return None
        live = [c for c in function.containers if not c.retired and c.state in (State.STARTING, State.READY)]
        headroom = sum(max(0, c.inputs - c.outstanding) for c in live if c.state is State.READY)
        return FunctionStats(function.queued, len(live), function.running, headroom)

    def counts(self, call_id: str) -> tuple[int, int, int] | None:
        """How many inputs of a call wait, how many containers have, and how many wait for a retry; None: not open."""
        call = self.core.calls.get(call_id)
        return (call.queued, call.running, len(call.delayed)) if call is not None else None

    def is_open(self, call_id: str) -> bool:
        """Whether a call takes inputs."""
        call = self.core.calls.get(call_id)
        return call is not None and not call.closed

    def has_container(self, worker_id: str, number: int) -> bool:
        """Whether a container is there, as far as is known."""
        worker = self.core.workers.get(worker_id)
        return worker is not None and (number in worker.containers or self.guests.has(worker_id, number))

    def may_begin(self, worker_id: str, number: int) -> bool:
        """Whether a container that was asked for is wanted still."""
        worker = self.core.workers.get(worker_id)
        container = worker.containers.get(number) if worker is not None else None
        return container is not None and container.state is State.STARTING

    def why_never(self, resources: Resources) -> str:
        """Why no known worker could ever hold a container of these: a sentence, or ""."""
        return why_never([worker.node.capacity for worker in self.core.workers.values()], resources)

    def fitted(self, resources: Resources) -> Resources:
        """What a container can have of these: less than asked where no known worker is that large."""
        return fitted([worker.node.capacity for worker in self.core.workers.values()], resources)

    def ignores_gpu(self, resources: Resources) -> bool:
        """Whether only workers that ignore GPU requests (--no-gpu) could hold a container of these."""
        workers = [worker.node.capacity for worker in self.core.workers.values()]
        return bool(why_never([capacity for capacity in workers if not capacity.ignore_gpu], resources))

    @property
    def usage(self) -> Ledgers:
        """What ended containers have used."""
        return self.core.usage
