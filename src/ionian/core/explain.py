"""Why something waits, in sentences that a person can act on. Reads the tables, changes nothing."""

from __future__ import annotations

from dataclasses import replace

from ..protocol.calls import CallExplained, InputReason, InputState
from ..protocol.spec import GpuRequest, Resources
from ..protocol.tags import shown
from .autoscaler import desired
from .call import Call
from .function import Function
from .placement import Node, matching, model_matches, why_never
from .room import Room
from .state import Core
from .worker import Container, State, Worker

MOST_CONTAINERS = 20
"""Containers of a call that are told one by one."""

MOST_NAMES = 3


class Explainer:
    """Answers why."""

    def __init__(self, core: Core, line: Room) -> None:
        self.core = core
        self.line = line

    # Calls

    def call(self, now: float, call_id: str) -> CallExplained | None:
        """Why a call has no result yet: what runs first, then what waits, then what is tried again."""
        call = self.core.calls.get(call_id)
        if call is None:
            return None
        reasons = self._running(now, call)
        if call.queued:
            reasons.append(self._queued(now, call))
        if call.delayed:
            reasons.append(self._delayed(now, call))
        return CallExplained(call_id, call.function.spec.tag, reasons)

    def _running(self, now: float, call: Call) -> list[InputReason]:
        """One reason a container, and one for all past the first twenty."""
        reasons: list[InputReason] = []
        more = more_inputs = 0
        first = -1
        for container in call.function.containers if call.running else ():
            rows = container.held.get(call.id)
            if not rows:
                continue
            if len(reasons) == MOST_CONTAINERS:
                more, more_inputs = more + 1, more_inputs + len(rows)
                first = min(rows) if first < 0 else min(first, *rows)
                continue
            since = now - container.progress_at
            reason = InputReason("running", len(rows), min(rows), _runs(now, container, len(rows), since))
            reason.container_id, reason.since_s = container.id, since
            reasons.append(reason)
        if more:
            reasons.append(
                InputReason("running", more_inputs, first, f"they run in {count(more, 'more container')}")
            )
        return reasons

    def _queued(self, now: float, call: Call) -> InputReason:
        first = next((start for start, _ in call.waiting()), 0)
        if call.held_back:
            return InputReason("held", call.queued, first, self._restarted(now), since_s=now - call.opened_at)
        state, reason = self.why(now, call.function)
        place = next((at for at, other in enumerate(call.function.ring, 1) if other is call), 0)
        if place > 1:
            reason += (
                f"; {count(place - 1, 'other call')} of it {'is' if place == 2 else 'are'} served before it"
            )
        return InputReason(state, call.queued, first, reason, since_s=now - call.opened_at, place=place)

    def _delayed(self, now: float, call: Call) -> InputReason:
        index = min(call.delayed, key=lambda index: (call.delayed[index], index))
        policy = call.function.spec.retries
        tries = call.retries.get(index, 0)
        of = f" of {policy.max_retries}" if policy is not None else ""
        wait = seconds(call.delayed[index] - now)
        return InputReason("retrying", len(call.delayed), min(call.delayed),
                           f"it failed and is tried again in {wait} (retry {tries}{of})")  # fmt: skip

    # Functions

    def wanted(self, now: float) -> list[tuple[str, int, str]]:
        """Containers that are wanted and not there: of which function, how many, and why."""
        found: list[tuple[str, int, str]] = []
        for function in self.core.functions.values():
            if function.dropped:
                continue
            unbound = replace(function.spec.scaling, max_containers=0)
            live = sum(not c.retired and c.state is not State.STOPPING for c in function.containers)
            missing = desired(unbound, function.load(now)) - live
            if missing > 0:
                found.append((function.spec.function_id, missing, self.why_no_container(now, function)))
        return found

    def why(self, now: float, function: Function) -> tuple[InputState, str]:
        """Why inputs of a function wait."""
        ready = [c for c in function.containers if c.state is State.READY and not c.retired]
        starting = [c for c in function.containers if c.state is State.STARTING and not c.retired]
        if function.spec.image_id in self.core.building and not ready:
            return "building", "its image is being built"
        if starting and not ready:
            since = seconds(now - min(c.since for c in starting))
            several = len(starting) > 1
            return "starting", (
                f"{len(starting)} containers are starting, the first of them since {since}"
                if several
                else f"a container for it is starting, since {since}"
            )
        return "waiting", self.why_no_container(now, function)

    def waiting_for(self, now: float, function: Function) -> str:
        """What a function as a whole waits for: "" where it does not."""
        if function.queued:
            return self.why(now, function)[1]
        if function.running or function.spec.retries is None:
            return ""
        call = next((c for c in self.core.calls.values() if c.delayed and c.function is function), None)
        return self._delayed(now, call).reason if call is not None else ""

    def why_no_container(self, now: float, function: Function) -> str:
        """Why a function has no more containers than it has."""
        spec = function.spec
        most = spec.scaling.max_containers
        if spec.image_id in self.core.building:
            return "its image is being built"
        if most and len(function.containers) >= most:
            return _capped(function, most)
        nobody = not any(worker.present for worker in self.core.workers.values())
        if (most or nobody) and not self.core.settled:
            return self._restarted(now)
        if function.failures or (function.crashes and now < function.retry_at):
            again = (
                f"it is tried again in {seconds(function.retry_at - now)}" if now < function.retry_at else ""
            )
            trouble = f": {function.trouble}" if function.trouble else ""
            return f"a container of it did not start{trouble}; {again or 'it is being tried again'}"
        if function in self.line.line:
            return self._no_room(function)
        live = sum(not c.retired and c.state is not State.STOPPING for c in function.containers)
        if nobody:
            return "no worker is connected: start one with `ionian worker`"
        return f"it waits for its turn: {count(live, 'container')} of it {'is' if live == 1 else 'are'} busy"

    def _restarted(self, now: float) -> str:
        wait = seconds(max(0.0, self.core.begun_at + self.core.settings.inventory_wait_s - now))
        return (
            "the server was restarted and waits until its workers have said what they run already,"
            f" at most {wait} more"
        )

    # Room

    def _no_room(self, function: Function) -> str:
        resources = function.spec.resources
        present = [worker for worker in self.core.workers.values() if worker.present]
        never = why_never([worker.node.capacity for worker in present], resources)
        if never:
            return never
        place = self.line.order().index(function) + 1
        queue = f"; it is {ordinal(place)} in the queue" if len(self.line.line) > 1 else ""
        worker = self.line.line[function].worker
        if worker is None or not worker.present:
            return f"no worker has room for it now{queue}"
        if worker.node.find(resources) is not None:
            if worker.node.starting >= worker.node.most_starting:
                starting = count(worker.node.starting, "other container")
                return f"{starting} start on worker {worker.name} first{queue}"
            return f"others that came before it are to have the room on worker {worker.name}{queue}"
        return f"{_lacks(worker, resources)} on worker {worker.name}{queue}; {_unblocks(worker, resources)}"


def _runs(now: float, container: Container, rows: int, since: float) -> str:
    worker = container.worker
    if not worker.present:
        return (
            f"it runs on worker {worker.name}, which has been out of reach for {seconds(now - worker.gone_at)};"
            " it is run elsewhere if the worker does not come back"
        )
    if rows > 1 and not container.shares:
        return f"one of them has been running for {seconds(since)}, the others are next in its container"
    they = "they have" if rows > 1 else "it has"
    return f"{they} been running for {seconds(since)}"


def _capped(function: Function, most: int) -> str:
    old = sum(c.retired for c in function.containers)
    busy = f"all {most} of its containers are busy (max_containers={most})"
    if old:
        verb = "is" if old == 1 else "are"
        busy += f", of which {old} {verb} of an older version and end with what they run"
    return busy


def _lacks(worker: Worker, resources: Resources) -> str:
    """What a worker has too little of, asked against free."""
    node, capacity = worker.node, worker.node.capacity
    if resources.gpus and not capacity.ignore_gpu:
        request = max(resources.gpus, key=lambda r: matching(r, node.devices.values()) / r.count)
        free = matching(request, node.devices.values())
        if free < request.count:
            total = sum(model_matches(request, device) for device in capacity.devices)
            return f"{request.count} × {_gpu(request)} asked, {free} free of {total}"
    if resources.cpu_milli > node.cpu_milli:
        free = max(0, node.cpu_milli) / 1000
        return f"{resources.cpu_milli / 1000:g} cores asked, {free:g} free of {capacity.cpu_milli / 1000:g}"
    return (
        f"{resources.memory_mib} MiB asked, {max(0, node.memory_mib)} MiB free of {capacity.memory_mib} MiB"
    )


def _gpu(request: GpuRequest) -> str:
    return "any GPU" if request.model.upper() == "ANY" else request.model


def _unblocks(worker: Worker, resources: Resources) -> str:
    """Whose end makes room."""
    ending = list(worker.leaving)
    node = Node(worker.node.capacity)
    staying = [c for c in worker.containers.values() if c not in ending]
    for container in staying:
        node.take(container.reservation)
    if node.find(resources) is not None:
        return f"it starts when {_names(ending)} has ended, which gets nothing more to do"
    useful = staying
    if resources.gpus and not worker.node.capacity.ignore_gpu:
        useful = [c for c in staying if c.reservation.devices] or staying
    return f"it starts when {_names(useful)} ends"


def _names(containers: list[Container]) -> str:
    tags = list(dict.fromkeys(shown(container.function.spec.tag) for container in containers))
    if not tags:
        return "another container there"
    more = " or another" if len(tags) > MOST_NAMES else ""
    return f"a container of {' or '.join(tags[:MOST_NAMES])}{more}"


def seconds(value: float) -> str:
    """A duration, as short as it can be said."""
    value = max(0.0, value)
    if value < 9.95:
        return f"{value:.1f} s"
    if value < 120:
        return f"{value:.0f} s"
    return f"{value / 60:.0f} min" if value < 7200 else f"{value / 3600:.1f} h"


def count(number: int, noun: str) -> str:
    """ "1 container", "2 containers"."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th …"""
    teen = 10 <= number % 100 < 20
    return f"{number}{'th' if teen else {1: 'st', 2: 'nd', 3: 'rd'}.get(number % 10, 'th')}"
