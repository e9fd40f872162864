"""What was used and what it cost, by day and app."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timezone

from starlette.responses import Response

from ionian.protocol.usage import Amounts, By, ReadUsage, UsageReport, UsageRow

from ..charts import Chart, Series
from ..rendering import page
from ..visit import Visit, page_route

HOUR_S, DAY_S = 3600.0, 86400.0


@dataclass(frozen=True)
class Span:
    """A time up to this moment, in steps of an hour or a day."""

    word: str
    text: str
    steps: int
    step_s: float
    by: By
    shape: str


SPANS = {
    one.word: one
    for one in (
        Span("day", "Day", 24, HOUR_S, "hour", "%Y-%m-%d %H:00"),
        Span("month", "30 days", 30, DAY_S, "day", "%Y-%m-%d"),
        Span("quarter", "90 days", 90, DAY_S, "day", "%Y-%m-%d"),
    )
}

TONES = ("accent", "second", "good", "wait")
"""Of the apps that used most; the others are together."""

EVERY_S = 10
"""An open page looks so often: workers say no more often what was used."""


async def usage_page(visit: Visit) -> Response:
    """What an environment used."""
    environment = visit.word("environment")
    span = visit.chosen("over", SPANS, "month")
    until = (time.time() // span.step_s + 1) * span.step_s
    since = until - span.steps * span.step_s
    found: UsageReport = await visit.ask(ReadUsage([span.by, "app"], since, until, environment))
    lines: UsageReport = await visit.ask(ReadUsage(["line"], since, until, environment))
    apps = _by_app(found.rows)
    return await page(
        visit,
        "usage.html",
        section="usage",
        environment=environment,
        title="Usage",
        span=span,
        spans=list(SPANS.values()),
        charts=_charts(found, apps, span, since),
        apps=apps,
        lines=sorted(lines.rows, key=lambda row: -row.used.wall_s),
        currency=found.currency,
        cost=sum(row.cost for row in found.rows),
        every=EVERY_S,
    )


@dataclass
class AppUsage:
    """The rows of an app, and their sum."""

    app_id: str
    name: str
    rows: list[UsageRow] = field(default_factory=list[UsageRow])
    used: Amounts = field(default_factory=Amounts)
    cost: float = 0.0


def _by_app(rows: Sequence[UsageRow]) -> list[AppUsage]:
    """The dearest first, else the one that used most."""
    found: dict[str, AppUsage] = {}
    for row in rows:
        app_id = row.keys["app"]
        app = found.setdefault(app_id, AppUsage(app_id, row.names.get("app", "") or app_id))
        app.rows.append(row)
        app.used.add(row.used)
        app.cost += row.cost
    return sorted(found.values(), key=lambda one: (-one.cost, -one.used.gpu_s, -one.used.cpu_s, one.name))


def _charts(report: UsageReport, apps: Sequence[AppUsage], span: Span, since: float) -> list[Chart]:
    places = {
        datetime.fromtimestamp(since + at * span.step_s, timezone.utc).strftime(span.shape): at
        for at in range(span.steps)
    }
    # The middle of a day is in the same day for most of the world, where a page says its date.
    start_at = since + (DAY_S / 2 if span.step_s == DAY_S else 0)

    def values(of: Sequence[AppUsage], value: Callable[[UsageRow], float]) -> list[float]:
        sums = [0.0] * span.steps
        for app in of:
            for row in app.rows:
                at = places.get(row.keys[span.by])
                if at is not None:
                    sums[at] += value(row)
        return sums

    def chart(title: str, note: str, value: Callable[[UsageRow], float]) -> Chart:
        named = apps[: len(TONES)]
        series = [
            Series(app.name, tone, values([app], value)) for app, tone in zip(named, TONES, strict=False)
        ]
        if len(apps) > len(TONES):
            series.append(Series("other apps", "dim", values(apps[len(TONES) :], value)))
        series = series or [Series("no app", "dim", [0.0] * span.steps)]
        whole = sum(value(row) for row in report.rows)
        return Chart(title, "bars", "cores", series, start_at, span.step_s, note=note, now=f"{whole:.3g}")

    found = [chart("Cost", report.currency, lambda row: row.cost)] if report.currency else []
    found.append(chart("CPU", "core-hours", lambda row: row.used.cpu_s / HOUR_S))
    found.append(chart("Memory", "GiB-hours", lambda row: row.used.memory_gib_s / HOUR_S))
    if any(row.used.gpu_s for row in report.rows):
        found.append(chart("GPUs", "GPU-hours", lambda row: row.used.gpu_s / HOUR_S))
    found.append(chart("Containers", "container-hours", lambda row: row.used.wall_s / HOUR_S))
    return found


routes = [page_route("/e/{environment}/usage", usage_page)]
