"""Measures one sandbox at even times, and ends it past its memory limit where no cgroup does so."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Collection
from dataclasses import replace

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
        self.beside: Callable[[], int] = (
            int  # bytes of what is nobody else's: of a template, what is made ahead
        )
        self._pid = pid
        self._group = group
        self._limit = limits.memory_limit_mib << 20
        self._over = over
        self._reserved_cpu = 0.0  # cores
        self._reserved_bytes = 0
        self._loop = asyncio.get_running_loop()
        self._use = ResourceUse()
        self._added_s = 0.0  # of it, what add() told
        self._last = time.monotonic()
        self._period = PERIOD_S if group else soft.PERIOD_S
        self._timer = self._loop.call_later(self._period, self._tick)
        self._running = True

    def reserve(self, cores: float, memory_bytes: int, since: float) -> None:
        """So much is kept free for it since then, and charged where it uses less."""
        self._reserved_cpu, self._reserved_bytes = cores, memory_bytes
        before = max(0.0, self._last - since)
        self._use.charged_cpu_s += before * cores
        self._use.charged_memory_gib_s += before * memory_bytes / GIB

    def add(self, cpu_s: float) -> None:
        """Processor time of what has ended and was nobody else's: of a template, what was made ahead in vain."""
        self._added_s += cpu_s
        self._use.cpu_s += cpu_s
        self._use.charged_cpu_s += cpu_s

    def use(self) -> ResourceUse:
        if self._running:
            self._sample()
        return replace(self._use)

    def stop(self, cpu_s: float) -> None:
        """The last sample. `cpu_s` is what the kernel counted for the processes that have now all ended."""
        self._sample(cpu_s)
        self._running = False
        self._timer.cancel()
        self._use.memory_bytes = 0

    def _tick(self) -> None:
        self._sample()
        self._timer = self._loop.call_later(self._period, self._tick)

    def _sample(self, cpu_s: float = 0.0) -> None:
        reading = self._read()
        now, use = time.monotonic(), self._use
        passed = now - self._last
        # Without a cgroup, what has ended is no longer seen: the sums never go back.
        own_s = use.cpu_s - self._added_s
        more = max(0.0, reading.cpu_s - own_s, cpu_s - own_s)
        memory_bytes = reading.memory_bytes + self.beside()
        memory = (use.memory_bytes + memory_bytes) / 2
        use.cpu_s += more
        use.memory_gib_s += passed * memory / GIB
        use.charged_cpu_s += max(more, passed * self._reserved_cpu)
        use.charged_memory_gib_s += passed * max(memory, self._reserved_bytes) / GIB
        use.memory_bytes = memory_bytes
        use.peak_bytes = max(use.peak_bytes, memory_bytes, reading.peak_bytes)
        self._last = now
        if not self._group and self._limit and reading.memory_bytes > self._limit and not self.exceeded:
            self.exceeded = True
            self._over()

    def _read(self) -> Reading:
        if self._group:
            return self._group.read()
        return soft.read(self._pid, self._limit, without=self.forks(), of_template=self.of_template)
