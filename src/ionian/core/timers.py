"""What is due later: the dispatcher reads no clock, it says when it wants to be called again."""

from __future__ import annotations

from collections.abc import Callable
from heapq import heappop, heappush


class Timers:
    """Callbacks by time. None is ever cancelled: each looks whether there still is something to do."""

    def __init__(self) -> None:
        self._heap: list[tuple[float, int, Callable[[float], None]]] = []
        self._count = 0

    def at(self, when: float, then: Callable[[float], None]) -> None:
        """Calls `then(now)` at the first tick at or after `when`."""
        self._count += 1
        heappush(self._heap, (when, self._count, then))

    def next(self) -> float | None:
        """When the next one is due."""
        return self._heap[0][0] if self._heap else None

    def run(self, now: float) -> None:
        """Calls all that are due."""
        while self._heap and self._heap[0][0] <= now:
            heappop(self._heap)[2](now)
