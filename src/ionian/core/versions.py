"""Functions as they come, change and go: what a deploy does to containers and to inputs that wait."""

from __future__ import annotations

from dataclasses import replace

from ..protocol.batch import LOST
from ..protocol.spec import Concurrency, FunctionSpec, Scaling
from . import failures
from .fleet import Fleet
from .flow import Flow
from .function import Function, runs_several
from .state import Core

NEWER = "a newer version of its function takes its place"

INTERRUPT_S = 0.01
"""Any grace that is one: a container that gets none is killed, and runs nothing at its end."""


def same_containers(one: FunctionSpec, other: FunctionSpec) -> bool:
    """Whether containers of one version can run inputs of another: what else differs is the server's business."""
    return _of_containers(one) == _of_containers(other)


def _of_containers(spec: FunctionSpec) -> FunctionSpec:
    concurrency = Concurrency(spec.concurrency.max_inputs)
    return replace(
        spec,
        scaling=Scaling(),
        retries=None,
        schedule=None,
        version=0,
        recreate=False,
        concurrency=concurrency,
    )


class Versions:
    """Adds, changes and removes functions."""

    def __init__(self, core: Core, flow: Flow, fleet: Fleet) -> None:
        self.core = core
        self.flow = flow
        self.fleet = fleet

    def add(self, now: float, spec: FunctionSpec, app_id: str, environment: str) -> None:
        """A function can be called from now on, or has a new version."""
        function = self.core.functions.get(spec.function_id)
        if function is None:
            function = self.core.functions[spec.function_id] = Function(spec, app_id, environment)
        else:
            before, function.spec = function.spec, spec
            function.shares = runs_several(spec)
            function.dropped = b""
            if not same_containers(before, spec):
                self.renew(now, function)
            self.fleet.rescale(now, function)
        self.fleet.wake(now, function)

    def renew(self, now: float, function: Function) -> None:
        """The containers that are there get no more inputs, and end with what they run."""
        function.generation += 1
        function.failures = function.crashes = 0
        function.pace_s = -1.0
        for container in list(function.containers):
            self.fleet.retire(now, container, NEWER)
        self.flow.fill(now, function)
        self.fleet.wake(now, function)

    def recreate(self, now: float, function: Function) -> None:
        """The containers that are there are stopped at once; what they ran runs again, and is not counted.

        Those that were made old just before are the ones that are meant, and not what already takes their place.
        """
        if all(container.generation == function.generation for container in function.containers):
            self.renew(now, function)
        for container in list(function.containers):
            if container.generation != function.generation:
                self.fleet.stop(now, container, at_once(function), NEWER)

    def drop(self, now: float, function: Function) -> None:
        """A deploy has it no more: what waits ends in that failure, what runs ends by itself."""
        function.dropped = failures.dropped(function.spec)
        self.fleet.line.leave(function)
        for call in self.flow.calls_of(function):
            self.flow.drop_queued(call, LOST, function.dropped)
        for container in list(function.containers):
            self.fleet.retire(now, container, "its function was removed by a deploy")
        self.fleet.unneeded(function)

    def remove_app(self, now: float, app_id: str) -> None:
        """An app has ended: its containers are stopped, its calls end."""
        for function in [f for f in self.core.functions.values() if f.app_id == app_id]:
            function.removed = True
            del self.core.functions[function.spec.function_id]
            self.fleet.line.leave(function)
            self.flow.failed.forget(function.spec.function_id)
            payload = failures.app_stopped(function.spec)
            for call in self.flow.calls_of(function):
                self.flow.drop_queued(call, LOST, payload)
                for container in [c for c in function.containers if call.id in c.held]:
                    for index in sorted(container.held[call.id]):
                        self.flow.fail_held(container, call, index, LOST, payload)
                call.closed = True
                self.flow.free(call)
            for container in list(function.containers):
                self.fleet.stop(now, container, at_once(function), "its app was stopped")
        self.fleet.room(now)

    def scale(self, now: float, function: Function, scaling: Scaling) -> None:
        """A function has other numbers of containers from now on."""
        function.spec = replace(function.spec, scaling=scaling)
        self.fleet.rescale(now, function)
        self.fleet.wake(now, function)


def at_once(function: Function) -> float:
    """The grace of what a container runs when it is not wanted any more: none, but that an @exit is run behind it."""
    kind = function.spec.class_spec
    return INTERRUPT_S if kind is not None and kind.has_exit else 0.0
