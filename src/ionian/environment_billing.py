"""What an environment, or all of them, cost: `Environment.billing`, from what was used and the prices of the server."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from .arguments import wrong
from .exception import InvalidError
from .steps import Steps, StepsMethod
from .types import BillingReportItem, EnvironmentBillingSummary

if TYPE_CHECKING:
    from decimal import Decimal

    from .environment import Environment
    from .protocol.usage import ReadUsage, UsageReport, UsageRow

INTERVALS = {"d": "day", "h": "hour"}

SHAPES = {"d": "%Y-%m-%d", "h": "%Y-%m-%d %H:%M"}

RESOURCES = {"cpu": "CPU", "memory": "Memory"}

EVERY_TAG = "*"


class EnvironmentBilling:
    """What an environment cost: `modal.Environment.from_name("main").billing.report(start=…)`."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    @StepsMethod
    def report(
        self,
        *,
        start: datetime,
        end: datetime | None = None,
        resolution: str = "d",
        tag_names: list[str] | None = None,
    ) -> Steps[list[BillingReportItem]]:
        """What each app cost in each day ("d") or hour ("h"), UTC, from `start` to before `end` (now, unless given).

        The interval in which `start` lies counts whole, that of `end` not at all. `tag_names`: the tags of apps to show,
        `["*"]` for all. Without prices on the server all costs are 0.
        """
        asked = report_request("", start, end, resolution, tag_names)
        if asked is None:
            return []
        yield from self._environment._steps_of_hydrate()  # pyright: ignore[reportPrivateUsage]
        asked.environment = self._environment.name
        found, _ = yield asked
        return items(found, resolution, tag_names)

    @StepsMethod
    def summary(self, cycle: str | datetime | None = None) -> Steps[EnvironmentBillingSummary]:
        """What a calendar month, UTC, cost: its first moment, "2026-01", "last month" or, unless given, "this month"."""
        begin, end = month(cycle)
        yield from self._environment._steps_of_hydrate()  # pyright: ignore[reportPrivateUsage]
        found, _ = yield month_request(self._environment.name, begin, end)
        return summed(found, begin, end)


def report_request(
    environment: str,
    start: datetime,
    end: datetime | None,
    resolution: str,
    tag_names: Sequence[str] | None,
) -> ReadUsage | None:
    """The message that asks for a report; None where no whole interval lies between. Raises InvalidError."""
    from .protocol.usage import ReadUsage

    if resolution not in INTERVALS:
        raise wrong("resolution", '"d" for days or "h" for hours', resolution)
    begin = _floor(_utc("start", start), resolution)
    until = _floor(_utc("end", datetime.now(timezone.utc) if end is None else end), resolution)
    if begin >= until:
        return None
    by: Any = [INTERVALS[resolution], "app"]
    return ReadUsage(by, begin.timestamp(), until.timestamp(), environment, tags=bool(tag_names))


def items(found: UsageReport, resolution: str, tag_names: Sequence[str] | None) -> list[BillingReportItem]:
    """The rows of a report."""
    return [_item(row, resolution, tag_names or ()) for row in found.rows]


def month(cycle: str | datetime | None) -> tuple[datetime, datetime]:
    """A calendar month, from its beginning to that of the next. Raises InvalidError."""
    now = datetime.now(timezone.utc)
    this = now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    begin = this
    if isinstance(cycle, str):
        begin = _named_month(cycle, this)
    elif cycle is not None:
        begin = _utc("cycle", cycle)
    if begin != begin.replace(day=1, hour=0, minute=0, second=0, microsecond=0):
        raise InvalidError(f"cycle: expected the first moment of a month, got {begin.isoformat()}")
    if begin > now:
        raise InvalidError(f"cycle: expected a month that has begun, got {begin:%Y-%m}")
    return begin, (begin + timedelta(days=32)).replace(day=1)


def month_request(environment: str, begin: datetime, end: datetime) -> ReadUsage:
    """The message that asks what a month cost."""
    from .protocol.usage import ReadUsage

    return ReadUsage(["environment"], begin.timestamp(), end.timestamp(), environment)


def summed(found: UsageReport, begin: datetime, end: datetime) -> EnvironmentBillingSummary:
    """The sum of all rows."""
    total: dict[str, float] = {}
    for row in found.rows:
        for name, cost in row.costs.items():
            total[name] = total.get(name, 0.0) + cost
    return EnvironmentBillingSummary(begin, end, _money(sum(total.values())), _by_resource(total))


def _item(row: UsageRow, resolution: str, tag_names: Sequence[str]) -> BillingReportItem:
    began = datetime.strptime(row.keys[INTERVALS[resolution]], SHAPES[resolution])
    tags = {name: value for name, value in row.tags.items() if EVERY_TAG in tag_names or name in tag_names}
    return BillingReportItem(
        row.keys["app"],
        row.names.get("app", ""),
        row.keys["environment"],
        began.replace(tzinfo=timezone.utc),
        _money(row.cost),
        _by_resource(row.costs),
        tags,
    )


def _by_resource(costs: Mapping[str, float]) -> dict[str, Decimal]:
    return {RESOURCES.get(name, name): _money(cost) for name, cost in costs.items()}


def _money(cost: float) -> Decimal:
    from decimal import Decimal

    return Decimal(f"{cost:.9f}").normalize() + 0


def _named_month(text: str, this: datetime) -> datetime:
    said = text.strip().lower()
    if said == "this month":
        return this
    if said == "last month":
        return (this - timedelta(days=1)).replace(day=1)
    match = re.fullmatch(r"(\d{4})-(\d{2})", said)
    if match is None or not 1 <= int(match[2]) <= 12:
        raise wrong("cycle", '"this month", "last month" or a month such as 2026-01', text)
    return datetime(int(match[1]), int(match[2]), 1, tzinfo=timezone.utc)


def _utc(name: str, value: Any) -> datetime:
    if not isinstance(value, datetime):
        raise wrong(name, "a datetime", value)
    if value.tzinfo is None:
        return value.replace(tzinfo=timezone.utc)
    if value.utcoffset() != timedelta(0):
        raise InvalidError(f"{name}: expected a time in UTC, or without a zone, got {value.isoformat()}")
    return value.astimezone(timezone.utc)


def _floor(at: datetime, resolution: str) -> datetime:
    hour = at.replace(minute=0, second=0, microsecond=0)
    return hour if resolution == "h" else hour.replace(hour=0)
