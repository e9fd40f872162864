"""Measures one sandbox at even times, and ends it past its memory limit where no cgroup does so."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection

from . import soft
from .cgroup import Cgroup, Reading
from .spec import Limits, ResourceUse

PERIOD_S = 1.0  # for memory over time; the kernel counts the rest
GIB = 1 << 30


class Meter:
    def __init__(self, pid: int, group: Cgroup | None, limits: Limits, *, over: Callable[[], None]) -> None:
        self.exceeded = False
        self.forks: Callable[[], Collection[int]] = tuple  # of a template: what is metered on its own
        self.of_template = False  # a fork is
        self._pid = pid
        self._group = group
        self._limit = limits.memory_limit_mib << 20
        self._over = over
        self._loop = asyncio.get_running_loop()
        self._use = ResourceUse()
        self._last = self._loop.time()
        self._period = PERIOD_S if group else soft.PERIOD_S
        self._timer = self._loop.call_later(self._period, self._tick)
        self._running = True

    def use(self) -> ResourceUse:
        if self._running:
            self._sample()
        use = self._use
        return ResourceUse(use.cpu_s, use.memory_bytes, use.peak_bytes, use.memory_gib_s)

    def stop(self, cpu_s: float) -> None:
        """The last sample. `cpu_s` is what the kernel counted for the processes that have now all ended."""
        self._sample()
        self._running = False
        self._timer.cancel()
        self._use.cpu_s = max(self._use.cpu_s, cpu_s)
        self._use.memory_bytes = 0

    def _tick(self) -> None:
        self._sample()
        self._timer = self._loop.call_later(self._period, self._tick)

    def _sample(self) -> None:
        reading = self._read()
        now, use = self._loop.time(), self._use
        # Without a cgroup, what has ended is no longer seen: the sums never go back.
        use.cpu_s = max(use.cpu_s, reading.cpu_s)
        use.memory_gib_s += (now - self._last) * (use.memory_bytes + reading.memory_bytes) / 2 / GIB
        use.memory_bytes = reading.memory_bytes
        use.peak_bytes = max(use.peak_bytes, reading.memory_bytes, reading.peak_bytes)
        self._last = now
        if not self._group and self._limit and reading.memory_bytes > self._limit and not self.exceeded:
            self.exceeded = True
            self._over()

    def _read(self) -> Reading:
        if self._group:
            return self._group.read()
        return soft.read(self._pid, self._limit, without=self.forks(), of_template=self.of_template)
