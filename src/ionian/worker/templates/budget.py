"""How much memory templates may have: what running work does not need, and of that a share."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..memory import Memory

SHARE = 4
"""All templates together have at most a quarter of the memory that the worker may use,"""

SPARE = 10
"""and none is kept or made while less than a tenth of the memory is free."""

SMALLEST_MIB = 64
"""What one that is to be made is taken to need, before anybody knows."""

MOST = 64
"""So many at once: each has a few processes and descriptors of the worker."""


@dataclass
class Kept:
    """A template as the budget sees it."""

    key: str
    used_at: float
    mib: int


def too_many(kept: Iterable[Kept], memory: Memory, *, more_mib: int = 0, more: int = 0) -> list[str]:
    """The keys of those that have to go, the longest unused first, so that the others (and what is to come: so many
    more, of so many MiB) are within the budget."""
    by_use = sorted(kept, key=lambda one: one.used_at)
    held, count = sum(one.mib for one in by_use) + more_mib, len(by_use) + more
    free = memory.available - more_mib
    gone: list[str] = []
    for one in by_use:
        if held * SHARE <= memory.total and free * SPARE >= memory.total and count <= MOST:
            break
        gone.append(one.key)
        held, free, count = held - one.mib, free + one.mib, count - 1
    return gone


def has_room(kept: Iterable[Kept], memory: Memory, mib: int) -> bool:
    """Whether one of so many MiB can be made, if need be in place of others."""
    held = sum(one.mib for one in kept)
    return mib * SHARE <= memory.total and (memory.available + held - mib) * SPARE >= memory.total
