"""What became of the inputs that each container ran: kept beside what functions did, under the container's id, and by quarters
of an hour. A thousand containers that are busy all day are 100,000 rows then, not a million and a half."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..protocol.batch import BLOB, DONE, ERROR, OK, Batch
from .durations import SAMPLES, bucket
from .store.counts import Counted

if TYPE_CHECKING:
    from ..protocol.workers import ContainerState
    from .containers import Container

QUARTER_MIN = 15


class ContainerCounts:
    """The counts of this quarter of an hour. All is called on the event loop."""

    def __init__(self, epoch: int) -> None:
        self._epoch = epoch
        self._tallies: dict[tuple[str, int], Counted] = {}
        self._dirty: set[tuple[str, int]] = set()
        self._heard: dict[str, int] = {}  # worker → its last results: some are offered again

    def ran(self, container: Container, batch: Batch) -> None:
        """Results of a container. Tries that failed and are tried again count too: it ran them."""
        if batch.seq <= self._heard.get(container.worker_id, 0):
            return
        self._heard[container.worker_id] = batch.seq
        codes, tally = batch.code, self._tally(container)
        count = len(codes)
        if codes.count(OK) == count:
            tally.succeeded += count
            step = -(-count // SAMPLES)
            for micros in batch.micros[::step]:
                place = bucket(micros)
                tally.run[place] = tally.run.get(place, 0) + step
            return
        for code, micros in zip(codes, batch.micros, strict=True):
            kind = code & ~BLOB
            tally.succeeded += kind in (OK, DONE)
            tally.failed += kind == ERROR
            if kind in (OK, ERROR):
                place = bucket(micros)
                tally.run[place] = tally.run.get(place, 0) + 1

    def ready(self, container: Container, took_s: float) -> None:
        """Its start took so long."""
        self._tally(container).startup = {bucket(took_s * 1e6): 1}

    def ended(self, container: Container, message: ContainerState) -> None:
        """It has ended otherwise than it was asked to, and what it ran with it."""
        tally = self._tally(container)
        tally.container_errors = 1
        if message.ended == "timeout":
            tally.timed_out += 1
        else:
            tally.failed += sum(len(held.index) for held in message.running)

    def worker_gone(self, worker_id: str) -> None:
        """A worker has ended, and offers nothing again."""
        self._heard.pop(worker_id, None)

    def take(self) -> Sequence[Counted]:
        """The rows in which something has changed since the last time."""
        changed = [self._tallies[key] for key in self._dirty]
        self._dirty.clear()
        now = _quarter()
        self._tallies = {key: tally for key, tally in self._tallies.items() if key[1] == now}
        return changed

    def _tally(self, container: Container) -> Counted:
        key = (container.container_id, _quarter())
        tally = self._tallies.get(key)
        if tally is None:
            own = container.container_id
            tally = self._tallies[key] = Counted(
                own, key[1], self._epoch, own, "", container.actor.environment
            )
        self._dirty.add(key)
        return tally


def _quarter() -> int:
    """The minute, since 1970, in which this quarter of an hour began."""
    return int(time.time()) // (60 * QUARTER_MIN) * QUARTER_MIN
