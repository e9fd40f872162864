"""Charts as SVG that a page has in it: no script draws them, so a page without any shows them, too.

A plot is stretched to the width that it has, and what is written (its scale, its times) stands round it as text.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import ceil, floor, log2, log10
from typing import Literal

from .rendering import size

WIDTH, HEIGHT = 600.0, 100.0
"""What a plot counts in, whatever its size on the screen."""

GAP = 0.2
"""Of a bar's place."""

TICKS = 5

DAY_S = 86400.0

Unit = Literal["count", "cores", "seconds", "bytes", "share"]
Kind = Literal["bars", "lines", "area"]


@dataclass(frozen=True)
class Series:
    """One line, or one colour of bars: a value for each step, None where there is none. `tone` is a colour of the sheet."""

    name: str
    tone: str
    values: Sequence[float | None]


@dataclass(frozen=True)
class Chart:
    """Some series over the same time. Bars stand on each other."""

    title: str
    kind: Kind
    unit: Unit
    series: Sequence[Series]
    start_at: float  # of the first step, in seconds since 1970
    step_s: float
    note: str = ""  # what the numbers are, in a few words
    least_top: float = 0.0  # the scale ends there at least
    now: str = ""  # the number that a person looks for

    @cached_property
    def top(self) -> float:
        """Where the scale ends: round, and past every value."""
        if self.kind == "bars":
            most = max((sum(value or 0.0 for value in step) for step in self._steps), default=0.0)
        else:
            most = max((value or 0.0 for step in self._steps for value in step), default=0.0)
        return rounded(max(most, self.least_top), self.unit)

    @property
    def _steps(self) -> Iterable[tuple[float | None, ...]]:
        return zip(*(one.values for one in self.series), strict=True)

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to show."""
        return all(not value for one in self.series for value in one.values)

    @property
    def scale(self) -> list[str]:
        """What is written at the top, the middle and the bottom of it."""
        return [shown(self.top * part, self.unit) for part in (1.0, 0.5, 0.0)]

    @property
    def paths(self) -> list[tuple[str, str, str]]:
        """What is drawn: a class, a colour and the path of each."""
        if self.kind == "bars":
            return self._bars()
        found: list[tuple[str, str, str]] = []
        for one in self.series:
            if self.kind == "area":
                found.append(("area", one.tone, self._area(one.values)))
            found.append(("line", one.tone, self._line(one.values)))
        return found

    def _bars(self) -> list[tuple[str, str, str]]:
        found: list[tuple[str, str, str]] = []
        below = [0.0] * self._count
        step = WIDTH / max(1, self._count)
        for one in self.series:
            parts: list[str] = []
            for at, value in enumerate(one.values):
                if not value:
                    continue
                left, bottom = (at + GAP / 2) * step, self._y(below[at])
                below[at] += value
                parts.append(
                    f"M{left:.1f} {bottom:.1f}V{self._y(below[at]):.1f}h{step * (1 - GAP):.1f}V{bottom:.1f}z"
                )
            found.append(("bar", one.tone, "".join(parts)))
        return found

    def _line(self, values: Sequence[float | None]) -> str:
        parts: list[str] = []
        drawing = False
        for at, value in enumerate(values):
            if value is not None:
                parts.append(f"{'L' if drawing else 'M'}{self._x(at):.1f} {self._y(value):.1f}")
                if not drawing and (at + 1 == len(values) or values[at + 1] is None):
                    parts.append("h.1")  # a single value is a dot
            drawing = value is not None
        return "".join(parts)

    def _area(self, values: Sequence[float | None]) -> str:
        points = [f"L{self._x(at):.1f} {self._y(value or 0.0):.1f}" for at, value in enumerate(values)]
        return f"M{self._x(0):.1f} {HEIGHT:.1f}{''.join(points)}L{self._x(self._count - 1):.1f} {HEIGHT:.1f}z"

    @property
    def _count(self) -> int:
        return len(self.series[0].values)

    def _x(self, at: int) -> float:
        return (at + 0.5) * WIDTH / max(1, self._count)

    def _y(self, value: float) -> float:
        return HEIGHT * (1 - value / self.top)

    @property
    def ticks(self) -> list[float]:
        """The times that are written below it, evenly spread from its left end to its right, or from its first day to its last."""
        whole = self.step_s * (self._count - (self.step_s >= DAY_S))
        return [self.start_at + whole * at / (TICKS - 1) for at in range(TICKS)]

    @property
    def data(self) -> str:
        """The values for who points at one: JSON."""
        return json.dumps(
            {
                "at": self.start_at,
                "step": self.step_s,
                "unit": self.unit,
                "series": [
                    [one.name, one.tone, [_short(value) for value in one.values]] for one in self.series
                ],
            },
            separators=(",", ":"),
        )

    @property
    def said(self) -> str:
        """The same for who does not see it."""
        parts: list[str] = []
        for one in self.series:
            known = [value for value in one.values if value is not None]
            if known:
                parts.append(
                    f"{one.name} {shown(known[-1], self.unit)} at the end, {shown(max(known), self.unit)} at most"
                )
        return f"{self.title}: {'; '.join(parts) if parts else 'nothing'}"


def _short(value: float | None) -> float | None:
    return None if value is None else float(f"{value:.4g}") if value % 1 else int(value)


def shown(value: float, unit: Unit) -> str:
    """A value as it is written beside a chart."""
    if unit == "seconds":
        return _short_duration(value)
    if unit == "bytes":
        return size(value).replace(".0 ", " ") if value else "0"
    if unit == "share":
        return f"{value * 100:.3g} %"
    if unit == "cores":
        return f"{value:.3g}"
    for large, sign in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if value >= large:
            return f"{value / (1e3 if sign == 'k' else large):.3g}{sign}"
    return f"{value:g}"


def _short_duration(seconds: float) -> str:
    for least, name in ((3600.0, "h"), (60.0, "min"), (1.0, "s")):
        if seconds >= least:
            return f"{seconds / least:.3g} {name}"
    return f"{seconds * 1e3:.3g} ms" if seconds else "0"


def rounded(most: float, unit: Unit) -> float:
    """The next round number, of which the half is round, too."""
    if unit == "count":
        most = max(most, 2.0)
    if unit == "share":
        return 1.0
    if most <= 0:
        return 1.0
    if unit == "bytes":
        return 2.0 ** ceil(log2(most))
    base = 1.0
    if unit == "seconds" and most >= 60:
        base = 3600.0 if most >= 3600 else 60.0
    power = 10.0 ** floor(log10(most / base))
    for step in (1, 2, 4, 6, 8, 10):
        if step * power * base >= most * (1 - 1e-9) and (unit != "count" or step * power % 2 == 0):
            return step * power * base
    return ceil(most / base) * base
