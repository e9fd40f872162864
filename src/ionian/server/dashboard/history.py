"""What a function did over a time, from the counts by minute: as charts."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property

from ...protocol.spec import FunctionSpec
from ..counts import MINUTE_S, Counts
from ..durations import merged, percentiles
from ..series import by_step, most
from ..standing import Standing
from ..store.counts import Counted
from .charts import Chart, Series, shown


@dataclass(frozen=True)
class Span:
    """A time that charts show up to this moment."""

    word: str
    text: str
    steps: int
    minutes: int  # a step has so many

    @property
    def each(self) -> str:
        """`a minute`, `15 minutes`."""
        if self.minutes == 1:
            return "a minute"
        return f"{self.minutes} minutes" if self.minutes < 60 else f"{self.minutes // 60} hours"


SPANS = {
    one.word: one
    for one in (Span("hour", "Hour", 60, 1), Span("day", "Day", 96, 15), Span("week", "7 days", 84, 120))
}

SETTLED = 5
"""Minutes after which nothing is added to one any more: counts are written every few seconds."""

MOST_KEPT = 100
"""So many functions are kept that were looked at last."""

PERCENTILES = (50.0, 95.0)


@dataclass
class Step:
    """What a function did in one step of a chart."""

    succeeded: int = 0
    failed: int = 0
    cancelled: int = 0
    started: int = 0
    container_errors: int = 0
    waiting: int = 0
    containers: int = 0
    run: dict[int, int] = field(default_factory=dict[int, int])
    latency: dict[int, int] = field(default_factory=dict[int, int])
    startup: dict[int, int] = field(default_factory=dict[int, int])


@dataclass(frozen=True)
class History:
    """The steps of a span, the last of which is under way."""

    span: Span
    first: int  # minute
    steps: list[Step]

    @cached_property
    def total(self) -> Step:
        """All of it together."""
        return _sum(self.steps)


class Histories:
    """Of the functions that are looked at. A page asks each second: what is over is read once."""

    def __init__(self, counts: Counts, clock: Callable[[], float] = time.time) -> None:
        self._counts = counts
        self._clock = clock
        self._over: OrderedDict[tuple[str, str], dict[int, Step]] = (
            OrderedDict()
        )  # function, span → minute → step

    async def of(self, root_id: str, span: Span, now: Standing) -> History:
        """Of a function and its variants, with what it has at this moment."""
        minute = int(self._clock()) // MINUTE_S
        until = minute + 1 + -(minute + 1) % span.minutes
        first = until - span.steps * span.minutes
        over = self._known((root_id, span.word), first)
        begin = first
        while begin in over:
            begin += span.minutes
        known = [
            over[one] for one in range(first, begin, span.minutes)
        ]  # a later look forgets the first of them
        rows = await self._counts.minutes(begin, until, root_id)
        read = await asyncio.to_thread(steps, rows, span, begin, (until - begin) // span.minutes)
        found = History(span, first, known + read)
        for begun, step in zip(range(begin, until, span.minutes), read, strict=True):
            if begun + span.minutes + SETTLED > minute:
                break
            over[begun] = step
        last = found.steps[-1]
        last.waiting, last.containers = max(last.waiting, now.waiting), max(last.containers, now.containers)
        return found

    def _known(self, key: tuple[str, str], first: int) -> dict[int, Step]:
        """The steps of a function that are over, without those before a minute."""
        over = self._over.setdefault(key, {})
        self._over.move_to_end(key)
        while len(self._over) > MOST_KEPT:
            self._over.popitem(last=False)
        for begun in [one for one in over if one < first]:
            del over[begun]
        return over


def steps(rows: Sequence[Counted], span: Span, first: int, count: int = 0) -> list[Step]:
    """Minutes, put together in so many steps (0: all of the span). Of what is at a time the most is kept, else it is summed."""
    return [_step(of_step) for of_step in by_step(rows, first, span.minutes, count or span.steps)]


def _step(rows: Sequence[Counted]) -> Step:
    return Step(
        sum(row.succeeded for row in rows),
        sum(row.failed + row.timed_out for row in rows),
        sum(row.cancelled for row in rows),
        sum(row.started for row in rows),
        sum(row.container_errors for row in rows),
        most(rows, lambda row: row.waiting),
        most(rows, lambda row: row.containers),
        merged(row.run for row in rows),
        merged(row.latency for row in rows),
        merged(row.startup for row in rows),
    )


def _sum(each: Sequence[Step]) -> Step:
    return Step(
        sum(one.succeeded for one in each),
        sum(one.failed for one in each),
        sum(one.cancelled for one in each),
        sum(one.started for one in each),
        sum(one.container_errors for one in each),
        max(one.waiting for one in each),
        max(one.containers for one in each),
        merged(one.run for one in each),
        merged(one.latency for one in each),
        merged(one.startup for one in each),
    )


def charts(history: History, spec: FunctionSpec, now: Standing) -> list[Chart]:
    """What the page of a function shows."""
    at, step_s, span, each = history.first * 60.0, history.span.minutes * 60.0, history.span, history.steps
    total = history.total
    ended = total.succeeded + total.failed + total.cancelled
    return [
        Chart(
            "Calls",
            "bars",
            "count",
            [
                Series("succeeded", "good", [one.succeeded for one in each]),
                Series("failed", "bad", [one.failed for one in each]),
                Series("cancelled", "dim", [one.cancelled for one in each]),
            ],
            at,
            step_s,
            note=f"in {span.each}",
            now=shown(ended, "count"),
        ),
        _durations("Latency", "from call to result", [one.latency for one in each], total.latency, history),
        _durations("Execution", "of the function alone", [one.run for one in each], total.run, history),
        Chart(
            "Queue",
            "area",
            "count",
            [Series("waiting", "wait", [one.waiting for one in each])],
            at,
            step_s,
            note="inputs waiting",
            now=shown(now.waiting, "count"),
        ),
        Chart(
            "Containers",
            "area",
            "count",
            [Series("containers", "accent", [one.containers for one in each])],
            at,
            step_s,
            note=f"at most {spec.scaling.max_containers}" if spec.scaling.max_containers else "",
            now=shown(now.containers, "count"),
        ),
        Chart(
            "Cold starts",
            "bars",
            "count",
            [
                Series("started", "accent", [one.started for one in each]),
                Series("ended unasked", "bad", [one.container_errors for one in each]),
            ],
            at,
            step_s,
            note=_starts(total),
            now=shown(total.started, "count"),
        ),
    ]


def _durations(
    title: str, note: str, histograms: Sequence[dict[int, int]], total: dict[int, int], history: History
) -> Chart:
    found = [percentiles(one, PERCENTILES) for one in histograms]
    whole = percentiles(total, PERCENTILES)
    return Chart(
        title,
        "lines",
        "seconds",
        [
            Series("p95", "second", [one.get(95.0) for one in found]),
            Series("p50", "accent", [one.get(50.0) for one in found]),
        ],
        history.first * 60.0,
        history.span.minutes * 60.0,
        note=note,
        now=" / ".join(shown(whole[place], "seconds") for place in PERCENTILES) if whole else "",
    )


def _starts(total: Step) -> str:
    took = percentiles(total.startup, PERCENTILES)
    if not took:
        return "containers that were started"
    return f"p50 {shown(took[50.0], 'seconds')}, p95 {shown(took[95.0], 'seconds')}"
