"""How a map is doing: a bar on a terminal, a line now and then in a pipe."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable

from .screen import Row, Screen
from .words import count, duration, rate

WINDOW_S = 5.0
"""The rate is that of the last seconds: containers come and go."""

FIRST_LINE_S = 2.0
LONGEST_PAUSE_S = 30.0
"""Lines in a pipe: the first after 2 s, then at double the distance, up to every 30 s."""


class MapProgress:
    """The progress of one map. `update` is called for every batch of results and stores two numbers, no more."""

    def __init__(self, screen: Screen, key: str, name: str, containers: Callable[[], int]) -> None:
        self._screen = screen
        self._key = key
        self._name = name
        self._containers = containers
        self._begun = time.monotonic()
        self._samples: deque[tuple[float, int]] = deque([(self._begun, 0)])
        self._done = 0
        self._total: int | None = None
        self._pause = FIRST_LINE_S
        self._next_line = self._begun + FIRST_LINE_S
        self._most_containers = 0
        self._open = True
        screen.show(key, self.row)

    def update(self, done: int, total: int | None) -> None:
        """So many results are in the caller's hands, of so many inputs; None while nobody knows how many."""
        self._done = done
        self._total = total
        if not self._screen.live and (now := time.monotonic()) >= self._next_line:
            self._pause = min(self._pause * 2, LONGEST_PAUSE_S)
            self._next_line = now + self._pause
            self._screen.say(f"{self._name}: {self._amount()} · {self._pace(now)}")

    def close(self) -> None:
        """The map has ended, or its caller wants no more of it."""
        if not self._open:
            return
        self._open = False
        self._most_containers = max(self._most_containers, self._containers())
        self._screen.drop(self._key)
        seconds = time.monotonic() - self._begun
        if self._done and seconds >= FIRST_LINE_S:
            whole = self._total is not None and self._done >= self._total
            begin = f"✓ {self._name}:" if whole else f"{self._name}: ended after"
            self._screen.say(
                f"{begin} {count(self._done, 'input')} in {duration(seconds)}, "
                f"{rate(self._done / seconds)}, {count(self._most_containers, 'container')}"
            )

    def row(self) -> Row:
        """The live row at this moment."""
        return Row(self._name, self._done, self._total, f"{self._amount()} · {self._pace(time.monotonic())}")

    def _amount(self) -> str:
        return f"{self._done:,} of {self._total:,}" if self._total is not None else f"{self._done:,} done"

    def _pace(self, now: float) -> str:
        containers = self._containers()
        self._most_containers = max(self._most_containers, containers)
        self._samples.append((now, self._done))
        while len(self._samples) > 2 and now - self._samples[0][0] > WINDOW_S:
            self._samples.popleft()
        since, before = self._samples[0]
        speed = (self._done - before) / max(now - since, 1e-3)
        parts = [count(containers, "container"), rate(speed)]
        if self._total is not None and speed > 0:
            parts.append(f"{duration(max(self._total - self._done, 0) / speed)} left")
        return " · ".join(parts)
