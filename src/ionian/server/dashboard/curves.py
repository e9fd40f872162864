"""What a container used, from samples of it: as charts."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence

from ionian.protocol.spec import Resources

from ..samples import Sample
from .charts import Chart, Series, Unit, shown

STEPS_S = (10.0, 20.0, 30.0)
"""How long a step is: the least that shows all of it in `MOST_STEPS`, or the last hour."""

MOST_STEPS = 120
LEAST_STEPS = 60

GAP_STEPS = 2
"""A container of which nothing was heard for longer is not taken to have used what it used."""


def charts(samples: Sequence[Sample], ended_at: float | None, asked: Resources | None) -> list[Chart]:
    """Up to now, or up to its end. `asked`: what its function asks for, if that is known."""
    until = time.time() if ended_at is None else ended_at
    age_s = until - samples[0].at if samples else 0.0
    step_s = next((step for step in STEPS_S if age_s <= step * MOST_STEPS), STEPS_S[-1])
    count = min(MOST_STEPS, max(LEAST_STEPS, math.ceil(age_s / step_s) + 1))
    first = (math.floor(until / step_s) + 1 - count) * step_s
    by_step = steps(samples, first, step_s, count)

    def chart(
        title: str, unit: Unit, tone: str, value: Callable[[Sample], float], note: str, least_top: float = 0.0
    ) -> Chart:
        values = [_mean([value(one) for one in step]) for step in by_step]
        last = next((one for one in reversed(values) if one is not None), None)
        now = shown(last, unit) if last is not None and ended_at is None else ""
        series = [Series(title.lower() if title != "CPU" else unit, tone, values)]
        return Chart(title, "area", unit, series, first, step_s, note, least_top, now)

    cores = asked.cpu_milli / 1000 if asked is not None else 0.0
    memory = float(asked.memory_mib << 20) if asked is not None else 0.0
    found = [
        chart("CPU", "cores", "accent", lambda one: one.cores, _reserved(cores, "cores"), cores),
        chart("Memory", "bytes", "second", lambda one: one.memory_bytes, _reserved(memory, "bytes"), memory),
    ]
    if any(sample.gpu >= 0 for sample in samples):
        found.append(chart("GPU", "share", "good", lambda one: one.gpu, "of the time it computed"))
    if any(sample.gpu_memory_bytes for sample in samples):
        found.append(chart("GPU memory", "bytes", "wait", lambda one: one.gpu_memory_bytes, ""))
    return found


def steps(samples: Sequence[Sample], first: float, step_s: float, count: int) -> list[list[Sample]]:
    """The samples of each step. Where one has none, it is as the one before was, for a while."""
    found: list[list[Sample]] = [[] for _ in range(count)]
    for sample in samples:
        at = math.floor((sample.at - first) / step_s)
        if 0 <= at < count:
            found[at].append(sample)
    filled, last = list(found), -count
    newest = max((at for at in range(count) if found[at]), default=-1)
    for at in range(newest):
        if found[at]:
            last = at
        elif at - last <= GAP_STEPS:
            filled[at] = found[last][-1:]
    return filled


def _reserved(amount: float, unit: Unit) -> str:
    return f"{shown(amount, unit)} reserved" if amount else ""


def _mean(values: Sequence[float]) -> float | None:
    """Of what is known: what is not is -1."""
    known = [value for value in values if value >= 0]
    return sum(known) / len(known) if known else None
