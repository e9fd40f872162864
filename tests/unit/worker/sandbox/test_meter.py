"""What a sandbox is charged for: the larger of what it used and what was kept free for it."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any, cast

import pytest

from ionian.worker.sandbox.cgroup import Reading
from ionian.worker.sandbox.meter import GIB, Meter
from ionian.worker.sandbox.spec import Limits, ResourceUse


class Group:
    """A cgroup of which the test says what its kernel counts."""

    def __init__(self) -> None:
        self.reading = Reading(0.0, 0)

    def read(self) -> Reading:
        return self.reading


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Sets the time of the meter."""
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])

    def sets(at: float) -> None:
        now[0] = at

    return sets


def metered(steps: Callable[[Meter, Group], None]) -> ResourceUse:
    async def run() -> ResourceUse:
        group = Group()
        meter = Meter(1, cast(Any, group), Limits(), over=lambda: None)
        steps(meter, group)
        found = meter.use()
        meter.stop(0.0)
        return found

    return asyncio.run(run())


def test_what_is_kept_free_is_charged_from_the_start_on(clock: Callable[[float], None]) -> None:
    def idle(meter: Meter, group: Group) -> None:
        meter.reserve(0.5, GIB // 2, since=98.0)
        clock(104.0)

    use = metered(idle)
    assert (use.charged_cpu_s, use.charged_memory_gib_s) == pytest.approx((3.0, 3.0))
    assert (use.cpu_s, use.memory_gib_s) == (0.0, 0.0)


def test_what_is_used_beyond_it_is_charged_second_by_second(clock: Callable[[float], None]) -> None:
    def bursts(meter: Meter, group: Group) -> None:
        meter.reserve(0.5, GIB // 2, since=100.0)
        for second, (cpu_s, memory) in enumerate([(2.0, GIB), (2.0, GIB), (2.1, 0)], 101):
            clock(float(second))
            group.reading = Reading(cpu_s, memory)
            meter.use()

    use = metered(bursts)
    assert use.charged_cpu_s == pytest.approx(2.0 + 0.5 + 0.5)
    assert use.charged_memory_gib_s == pytest.approx(0.5 + 1.0 + 0.5)
    assert (use.cpu_s, use.memory_gib_s) == pytest.approx((2.1, 0.5 + 1.0 + 0.5))


def test_what_the_kernel_counted_at_the_end_is_charged_too(clock: Callable[[float], None]) -> None:
    async def run() -> ResourceUse:
        meter = Meter(1, cast(Any, Group()), Limits(), over=lambda: None)
        clock(101.0)
        meter.stop(4.0)
        return meter.use()

    use = asyncio.run(run())
    assert (use.cpu_s, use.charged_cpu_s) == (4.0, 4.0)


def test_what_ended_beside_it_is_in_the_sum_though_what_was_its_own_is_not_seen_any_more(
    clock: Callable[[float], None],
) -> None:
    def ends(meter: Meter, group: Group) -> None:
        for second, cpu_s in enumerate([3.0, 0.0, 0.0, 3.5], 101):
            clock(float(second))
            group.reading = Reading(cpu_s, 0)
            if second == 102:
                meter.add(1.0)
            meter.use()

    use = metered(ends)
    assert (use.cpu_s, use.charged_cpu_s) == pytest.approx((4.5, 4.5))
