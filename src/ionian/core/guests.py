"""Containers that no call needs and a person asked for: they take room on a worker, and nothing else is decided of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from ..protocol.spec import Resources
from .placement import Reservation
from .state import Core
from .worker import Worker


@dataclass(frozen=True, slots=True)
class Guest:
    """The room of one, until it is given back."""

    worker: Worker
    number: int
    reservation: Reservation
    joins: (
        int  # how often its worker had joined: when it joins again, its room is counted anew, without guests
    )


class Guests:
    """Those that are there."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._guests: dict[tuple[str, int], Guest] = {}
        self.freed: Callable[[], None] = lambda: None  # who waits for room looks again; set by the dispatcher

    def take(self, resources: Resources, image_id: str) -> Guest | None:
        """Room for a container of these resources; None: no worker that is connected has it now."""
        found = self._core.places.find(resources, image_id)
        if found is None:
            return None
        worker, reservation = found
        guest = Guest(worker, self._core.next_number(worker.id), reservation, worker.joins)
        worker.node.take(reservation)
        self._guests[worker.id, guest.number] = guest
        return guest

    def has(self, worker_id: str, number: int) -> bool:
        """Whether this container is one."""
        return (worker_id, number) in self._guests

    def leave(self, worker_id: str, number: int) -> bool:
        """It has ended; False where it was none, or its room was counted anew already."""
        guest = self._guests.pop((worker_id, number), None)
        if guest is None:
            return False
        worker = guest.worker
        if self._core.workers.get(worker.id) is not worker or worker.joins != guest.joins:
            return False
        worker.node.give_back(guest.reservation)
        self.freed()
        return True

    def all_leave(self, worker_id: str) -> None:
        """Their worker was lost: it ends them."""
        for owner, number in list(self._guests):
            if owner == worker_id:
                self.leave(owner, number)
