"""Where the next container can be, at a cost that does not grow with the workers.

Workers that have the same left of everything are alike: one look answers for all of them. A cluster of a thousand
machines has some dozens of kinds at a time. What has changed since the last look is sorted in anew by the next.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Hashable

from ..protocol.spec import Resources
from .placement import Node, Reservation
from .worker import Worker


class Places:
    """The workers that are there, by what they have left."""

    def __init__(self) -> None:
        self._workers: dict[Node, Worker] = {}
        self._moved: dict[Node, None] = {}
        self._kinds: dict[Hashable, dict[Worker, None]] = {}
        self._kind_of: dict[Worker, Hashable] = {}

    def add(self, worker: Worker) -> None:
        """A worker is known from now on."""
        self._workers[worker.node] = worker
        worker.node.moved = self._moved
        worker.moved()

    def remove(self, worker: Worker) -> None:
        """A worker was given up."""
        self._workers.pop(worker.node, None)
        worker.node.moved = None
        self._moved.pop(worker.node, None)
        self._take_out(worker)

    def find(
        self,
        resources: Resources,
        image_id: str = "",
        *,
        claimed: Container[Worker] = (),
        spares: Callable[[Worker], bool] = lambda worker: True,
    ) -> tuple[Worker, Reservation] | None:
        """Room for a container: where its image is, where no GPU is wasted, on the most free worker, in that order.

        `claimed`: workers on which it may start only if it `spares` what others have a claim on.
        """
        best: Worker | None = None
        best_rank = (False, False, -1.0)
        for worker, alike in self._alike():
            node = worker.node
            if node.starting >= node.most_starting or node.find(resources) is None:
                continue
            spares_gpus = bool(resources.gpus) or not node.capacity.devices
            rank = (image_id in worker.images, spares_gpus, node.free_share())
            if best is None or rank > best_rank:
                allowed = next((w for w in alike if w not in claimed or spares(w)), None)
                if allowed is not None:
                    best, best_rank = allowed, rank
        if best is None:
            return None
        reservation = best.node.find(resources)
        assert reservation is not None
        return best, reservation

    def has_room(self, resources: Resources) -> bool:
        """Whether it would fit somewhere, though perhaps not now."""
        return any(worker.node.find(resources) is not None for worker, _ in self._alike())

    def _alike(self) -> list[tuple[Worker, dict[Worker, None]]]:
        """One worker of each kind, and all of them."""
        for node in self._moved:
            worker = self._workers[node]
            self._take_out(worker)
            if worker.present:
                kind = self._kind_of[worker] = (*node.kind(), frozenset(worker.images))
                self._kinds.setdefault(kind, {})[worker] = None
        self._moved.clear()
        return [(next(iter(alike)), alike) for alike in self._kinds.values()]

    def _take_out(self, worker: Worker) -> None:
        kind = self._kind_of.pop(worker, None)
        if kind is not None:
            alike = self._kinds[kind]
            del alike[worker]
            if not alike:
                del self._kinds[kind]
