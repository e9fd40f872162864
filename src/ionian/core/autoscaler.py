"""How many containers a function should have. Pure arithmetic; the property tests know its promises."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil

from ..protocol.spec import Scaling

DRAIN_S = 1.0
"""A backlog should be worked off in about this time: longer than a start, shorter than patience."""


@dataclass(slots=True)
class Load:
    """What a function has to do, and what it has."""

    queued: int  # inputs that no container has
    running: int  # inputs that containers have, those given ahead included
    busy: int  # containers that have an input
    pace_s: float  # seconds of a container's time an input takes, measured; below 0: unknown
    target: int = 1  # inputs that one container should have at once, or in a batch
    by_pace: bool = True  # False: a container for each `target` of them, however quick they are


def desired(scaling: Scaling, load: Load) -> int:
    """The number of containers that should exist: never above the maximum, never below the minimum."""
    outstanding = load.queued + load.running
    need = -(-outstanding // load.target)
    if load.by_pace and load.pace_s >= 0:
        need = min(need, ceil(outstanding * load.pace_s / DRAIN_S))
        need = max(need, load.busy, min(1, outstanding))
    elif scaling.buffer_containers:
        need = max(need, load.busy)  # what is kept free is beside those that are not
    if outstanding:
        need += scaling.buffer_containers
    need = max(need, scaling.min_containers)
    return min(need, scaling.max_containers) if scaling.max_containers else need


def kept_idle(scaling: Scaling, load: Load) -> int:
    """How many idle containers stay although nothing is to be done for them."""
    spare = scaling.buffer_containers if load.queued + load.running else 0
    return max(scaling.min_containers - load.busy, spare, 0)
