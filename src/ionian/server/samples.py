"""What containers used in the last hour, and how those ended that are gone: for people to look at, in memory alone."""

from __future__ import annotations

import time
from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ..protocol.workers import Sampled

if TYPE_CHECKING:
    from .containers import Container, Containers

KEEP_S = 3600.0

MOST_SAMPLES = 720
"""Of one container: an hour of one every five seconds, in 25 kB."""

MOST_ENDED = 300
"""Containers that have ended and are known; the oldest is forgotten past that."""

wall = time.time


@dataclass(slots=True)
class Sample:
    """What a container used at a moment. `gpu` is -1 where it is not known."""

    at: float
    cores: float
    memory_bytes: float
    gpu: float = -1.0
    gpu_memory_bytes: float = 0.0


@dataclass(slots=True)
class Curve:
    """The samples of one container, oldest first, each five numbers."""

    _numbers: array[float] = field(default_factory=lambda: array("d"))

    WIDTH = 5

    def add(self, sample: Sample) -> None:
        """One more."""
        width = self.WIDTH
        self._numbers.extend(
            (sample.at, sample.cores, sample.memory_bytes, sample.gpu, sample.gpu_memory_bytes)
        )
        if len(self._numbers) > (MOST_SAMPLES + 60) * width:  # not each time: what follows is moved
            del self._numbers[: 60 * width]

    def samples(self) -> Iterator[Sample]:
        """All of them."""
        numbers = self._numbers
        for at in range(0, len(numbers), self.WIDTH):
            yield Sample(*numbers[at : at + self.WIDTH])

    def last(self) -> Sample | None:
        """The newest."""
        return Sample(*self._numbers[-self.WIDTH :]) if self._numbers else None


@dataclass(slots=True)
class Ended:
    """A container that is gone."""

    container: Container
    ended_at: float  # seconds since 1970, as is the start
    began_at: float
    how: str  # ContainerState.ended
    detail: str


class Samples:
    """Those of one server. `containers` are those that are there."""

    def __init__(self, containers: Containers) -> None:
        self._containers = containers
        self._curves: dict[str, Curve] = {}
        self._ended: dict[str, Ended] = {}

    def received(self, worker_id: str, message: Sampled) -> None:
        """A worker's containers use so much."""
        now = wall()
        gpus = message.gpu or [-1.0] * len(message.numbers)
        gpu_memory = message.gpu_memory_bytes or [0] * len(message.numbers)
        columns = zip(message.numbers, message.cores, message.memory_bytes, gpus, gpu_memory, strict=False)
        for number, *values in columns:
            container = self._containers.numbered(worker_id, number)
            if container is not None:
                self._curves.setdefault(container.container_id, Curve()).add(Sample(now, *values))

    def ended(self, container: Container, how: str, detail: str) -> None:
        """A container is gone. Those that went long ago are forgotten."""
        now = wall()
        age_s = time.monotonic() - container.since
        self._ended[container.container_id] = Ended(container, now, now - age_s, how, detail)
        for container_id, one in list(self._ended.items()):
            if len(self._ended) <= MOST_ENDED and now - one.ended_at <= KEEP_S:
                break
            del self._ended[container_id]
            self._curves.pop(container_id, None)

    def of(self, container_id: str) -> Curve:
        """The samples of a container; none of one that is not known."""
        return self._curves.get(container_id) or Curve()

    def find_ended(self, container_id: str) -> Ended | None:
        """A container that is gone, while it is known."""
        return self._ended.get(container_id)

    def all_ended(self, environment: str) -> list[Ended]:
        """The containers of an environment that are gone, the last one first."""
        return [
            one for one in reversed(self._ended.values()) if one.container.actor.environment == environment
        ]
