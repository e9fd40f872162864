"""Functions that wait for room on workers, and who of them is next.

First come, first served, and who has no container at all before who wants more. Who waits has a claim on the worker
that lacks least: later ones start containers there only if the claim fits beside them once all that was there before
it has ended. So four GPUs come free for one who wants four, although others want one each all the time.

What is idle makes room at once. A function that has no container at all, and has waited for `fair_after_s`, takes the
room of busy ones: as many of them as need be get no more inputs and end with those that they run, if they have had
their turn of as long and are not among the `min_containers` of their function.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import islice

from ..protocol.spec import Resources
from .autoscaler import kept_idle
from .function import Function
from .placement import Node, Reservation, lacking
from .state import Core
from .worker import Container, State, Worker

AHEAD = 16
"""Claims that are respected: of so many who came first."""


@dataclass(slots=True)
class Claim:
    """A function's place in the line."""

    since: float
    worker: Worker | None = None  # None: no worker that is there could ever hold it


class Room:
    """The line of functions for whose next container there is no room."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self.line: dict[Function, Claim] = {}

    def find(self, function: Function) -> tuple[Worker, Reservation] | None:
        """Where the next container of a function can be; None: nowhere now."""
        resources, image_id = function.spec.resources, function.spec.image_id
        if not self.line:
            return self.core.places.find(resources, image_id)
        ahead = self._ahead(function)
        claimed = {claim.worker for _, claim in ahead if claim.worker is not None}
        return self.core.places.find(
            resources, image_id, claimed=claimed, spares=lambda worker: self._spares(worker, resources, ahead)
        )

    def order(self) -> list[Function]:
        """Who is next: those that have no container at all, then those that want more, each by when they came."""
        return sorted(self.line, key=lambda function: (lives(function), self.line[function].since))

    def _ahead(self, function: Function) -> list[tuple[Function, Claim]]:
        """Who is before a function and has a claim."""
        found: list[tuple[Function, Claim]] = []
        has = lives(function)
        for other in self.order():
            if other is function or len(found) == AHEAD or (not has and lives(other)):
                break
            if self.line[other].worker is not None:
                found.append((other, self.line[other]))
        return found

    def _spares(self, worker: Worker, resources: Resources, ahead: list[tuple[Function, Claim]]) -> bool:
        """Whether a container on a worker would leave those who came before their claims."""
        claims = [(other, claim) for other, claim in ahead if claim.worker is worker]
        if not claims:
            return True
        reservation = worker.node.find(resources)
        if reservation is None:
            return False
        for other, claim in claims:
            later = [c.reservation for c in worker.containers.values() if c.born >= claim.since]
            node = Node(worker.node.capacity)
            for taken in [*later, reservation]:
                node.take(taken)
            if node.find(other.spec.resources) is None:
                return False
        return True

    def wait(self, now: float, function: Function, *, behind: bool) -> Claim:
        """There is no room for a function: its claim. `behind`: it has just got something, and joins at the end."""
        claim = self.line.get(function)
        if claim is None or behind:
            self.line.pop(function, None)
            claim = self.line[function] = Claim(now)
        resources = function.spec.resources
        if claim.worker is None or not claim.worker.present or claim.worker.id not in self.core.workers:
            able = [
                worker
                for worker in self.core.workers.values()
                if worker.present and Node(worker.node.capacity).find(resources)
            ]
            claimed = [other.worker for other in self.line.values() if other is not claim]
            claim.worker = min(able, key=lambda w: (w in claimed, lacking(w.node, resources)), default=None)
        return claim

    def yields(self, now: float, function: Function) -> None:
        """A function had its turn: it waits behind the others from now on."""
        if function in self.line:
            del self.line[function]
            self.line[function] = Claim(now)

    def leave(self, function: Function) -> None:
        """A function waits no longer."""
        self.line.pop(function, None)

    # Who makes room

    def idle_ones(self, now: float, function: Function) -> list[Container] | None:
        """Idle containers of others that make enough room with what is ending; None: nowhere do they.

        One that starts for what is not there any more is as idle.
        """
        idle = self._idle_but_of(function)
        for worker in self._claimed_first(function):
            others = idle.get(worker, [])
            if not others and not worker.leaving:
                continue  # nearly all of them, where workers are full
            spare = sorted(others, key=lambda container: container.idle_since)
            left: dict[Function, int] = {}
            for owner in {c.function: None for c in spare}:
                left[owner] = len(_idle(owner)) - kept_idle(owner.spec.scaling, owner.load(now))
            candidates: list[Container] = []
            for container in spare:
                if left[container.function] > 0:
                    left[container.function] -= 1
                    candidates.append(container)
            found = _enough(worker, function.spec.resources, candidates)
            if found is not None:
                return found
        return None

    def _idle_but_of(self, function: Function) -> dict[Worker, list[Container]]:
        """The idle containers of all others, by their workers."""
        found: dict[Worker, list[Container]] = {}
        for other in self.core.functions.values():
            if other is not function:
                for container in _idle(other):
                    found.setdefault(container.worker, []).append(container)
        return found

    def busy_ones(self, now: float, function: Function) -> list[Container] | None:
        """Busy containers of others that should make room for one that has waited for its turn; None: none may."""
        claim = self.line.get(function)
        patience = self.core.settings.fair_after_s
        if claim is None or claim.worker is None or now < claim.since + patience:
            return None
        if lives(function):
            return None  # it gets on with what it has
        spare: dict[Function, int] = {}
        candidates: list[Container] = []
        for container in sorted(claim.worker.containers.values(), key=lambda c: c.born):
            owner = container.function
            if owner is function or container.retired or container.state is not State.READY:
                continue
            if owner not in spare:
                least = owner.spec.scaling.min_containers
                lively = (c for c in owner.containers if not c.retired and c.state is State.READY)
                enough = (
                    islice(lively, least + len(claim.worker.containers))
                    if len(owner.containers) > least
                    else ()
                )
                spare[owner] = sum(1 for _ in enough) - least
            if spare[owner] > 0 and now >= container.born + patience:
                spare[owner] -= 1
                candidates.append(container)
        return _enough(claim.worker, function.spec.resources, candidates)

    def next_turn(self, now: float, function: Function) -> float | None:
        """When busy ones might have to make room that need not now."""
        claim = self.line.get(function)
        if claim is None or claim.worker is None or lives(function):
            return None
        patience = self.core.settings.fair_after_s
        if now < claim.since + patience:
            return claim.since + patience
        turns = [c.born + patience for c in claim.worker.containers.values()]
        return min((turn for turn in turns if turn > now), default=None)

    def _claimed_first(self, function: Function) -> list[Worker]:
        claim = self.line.get(function)
        workers = [worker for worker in self.core.workers.values() if worker.present]
        if claim is not None and claim.worker in workers:
            workers.remove(claim.worker)
            workers.insert(0, claim.worker)
        ahead = {other.worker.id for _, other in self._ahead(function) if other.worker is not None}
        return [worker for worker in workers if worker.id not in ahead]


def lives(function: Function) -> bool:
    """Whether it has a container that is not about to end."""
    return any(not c.retired and c.state < State.STOPPING for c in function.containers)


def _idle(function: Function) -> list[Container]:
    """Its containers that have nothing to do, and will have nothing."""
    found = list(function.idle)
    if not function.queued and not function.running:
        found += [c for c in function.containers if c.state is State.STARTING and not c.retired]
    return found


def _enough(worker: Worker, resources: Resources, candidates: Iterable[Container]) -> list[Container] | None:
    """The first of these whose end makes room, with what is ending; none that is not needed. None: all are too few."""
    ending = worker.leaving
    chosen: list[Container] = []

    def fits(containers: list[Container]) -> bool:
        for container in containers:
            worker.node.give_back(container.reservation)
        found = worker.node.find(resources) is not None
        for container in containers:
            worker.node.take(container.reservation)
        return found

    for container in [None, *candidates]:
        if container is not None:
            chosen.append(container)
        if fits([*ending, *chosen]):
            for unneeded in chosen[:-1]:
                rest = [other for other in chosen if other is not unneeded]
                if fits([*ending, *rest]):
                    chosen = rest
            return chosen
    return None
