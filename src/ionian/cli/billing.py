"""`ionian billing`: what apps cost, in the words of Modal's command. `ionian usage` shows more."""

from __future__ import annotations

import csv
import json
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta, timezone, tzinfo
from typing import Any, NamedTuple, TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import click

from ..environment_billing import items, month, month_request, report_request, summed
from ..exception import InvalidError
from ..protocol.usage import PriceList, ReadPrices, UsageReport
from ..types import BillingReportItem
from .lists import ask, json_option, show_table

F = TypeVar("F", bound=Callable[..., Any])

RANGES = ("today", "yesterday", "this week", "last week", "this month", "last month")

UNITS = {"hour": timedelta(hours=1), "day": timedelta(days=1), "week": timedelta(weeks=1)}


@click.group(name="billing")
def command() -> None:
    """What apps of all environments cost, where the server has prices."""


def report_options(function: F) -> F:
    """The options of a report."""
    for option in (
        click.option("--csv", "as_csv", is_flag=True, help="Print CSV, for programs."),
        json_option,
        click.option(
            "--show-resources", is_flag=True, help="A row for each of cores, memory, models of GPUs."
        ),
        click.option(
            "-t", "--tag-names", default="", help="Tags of apps to show, with commas between; * for all."
        ),
        click.option(
            "--tz", default="", help="The zone of the times: local, +05:30, Europe/Berlin. With -r h."
        ),
        click.option(
            "-r", "--resolution", type=click.Choice(["d", "h"]), default="d", help="Days [d] or hours (h)."
        ),
        click.option("--for", "for_", default="", help=f"A time by its name: {', '.join(RANGES)}."),
        click.option(
            "--end", default="", help="Up to then; now, unless given. Its day, or hour, does not count."
        ),
        click.option("--start", default="", help="From then on: 2026-01-31, yesterday, '3 days ago'."),
    ):
        function = option(function)
    return function


@command.command("report", short_help="What each app cost by day or hour.")
@report_options
def report(**options: Any) -> None:
    """Shows what each app cost in each day, or hour, of a time: --for or --start."""
    show_report("", **options)


@command.command("summary", short_help="What a month cost.")
@click.option("--for", "for_", default="this month", help="this month [], last month, or such as 2026-01.")
@json_option
def summary(for_: str, as_json: bool) -> None:
    """Shows what a calendar month, UTC, cost. Nobody sends a bill: what was metered is what it cost."""
    show_summary("", for_, as_json=as_json)


@command.command("rates", short_help="The prices of the server.")
@json_option
def rates(as_json: bool) -> None:
    """Shows what an hour of a core, a GiB and each GPU costs."""
    prices: PriceList = ask(ReadPrices())
    rows = [("CPU core", prices.cpu_core), ("Memory GiB", prices.memory_gib), *sorted(prices.gpu.items())]
    if as_json:
        click.echo(json.dumps({name: str(price) for name, price in rows}))
        return
    table = [(name, f"{price:g} {prices.currency}".rstrip()) for name, price in rows]
    show_table(("Resource", "Price of an hour"), table, as_json=False, nothing="")


def show_summary(environment: str, for_: str, *, as_json: bool) -> None:
    """What a month of an environment cost; "" for all."""
    try:
        begin, end = month(for_)
    except InvalidError as error:
        raise click.UsageError(str(error)) from None
    found: UsageReport = ask(month_request(environment, begin, end))
    sums = summed(found, begin, end)
    parts = {name: str(cost) for name, cost in sums.metered_cost_breakdown.items()}
    if as_json:
        whole: dict[str, Any] = {
            "metered_cost": str(sums.metered_cost),
            "metered_cost_breakdown": {key_of(name): cost for name, cost in parts.items()},
        }
        if not environment:
            whole |= {"billed_cost": str(sums.metered_cost), "adjustments": {}}
        click.echo(json.dumps(whole, indent=2))
        return
    rows = [("Metered cost", f"{sums.metered_cost} {found.currency}".rstrip()), *parts.items()]
    show_table((f"{begin:%Y-%m}", "Cost"), rows, as_json=False, nothing="")


def show_report(
    environment: str,
    *,
    start: str,
    end: str,
    for_: str,
    resolution: str,
    tz: str,
    tag_names: str,
    show_resources: bool,
    as_json: bool,
    as_csv: bool,
) -> None:
    """What apps of an environment cost; "" for all."""
    if as_json and as_csv:
        raise click.UsageError("expected one of --json and --csv, got both")
    if tz and resolution != "h":
        raise click.UsageError("--tz goes with hours: -r h. Days are those of UTC")
    zone = zone_of(tz) if tz else timezone.utc
    span = _span(start, end, for_, zone)
    tags = [name.strip() for name in tag_names.split(",") if name.strip()]
    asked = report_request(environment, span.start, span.end, resolution, tags)
    found: UsageReport = ask(asked) if asked is not None else UsageReport()
    columns = ["Object ID", "Description", "Environment", "Interval Start"]
    columns += ["Resource"] * show_resources + ["Cost"] + ["Tags"] * bool(tags)
    rows = [
        row
        for item in items(found, resolution, tags)
        for row in _rows(item, resolution, zone, show_resources, bool(tags), whole=as_json or as_csv)
    ]
    if as_csv:
        csv.writer(sys.stdout, lineterminator="\n").writerows([columns, *rows])
        return
    names = [key_of(column) for column in columns] if as_json else columns
    show_table(names, rows, as_json=as_json, nothing="Nothing was used.")


def key_of(column: str) -> str:
    """The key of a column in JSON: `interval_start`."""
    return re.sub(r"[^a-z0-9]+", "_", column.lower())


def _rows(
    item: BillingReportItem, resolution: str, zone: tzinfo, resources: bool, tags: bool, *, whole: bool
) -> list[list[str]]:
    at = item.interval_start.astimezone(zone)
    if zone is timezone.utc:
        at = at.replace(tzinfo=None)
    shape = "%Y-%m-%d" if resolution == "d" else "%Y-%m-%dT%H:%M"
    first = [item.object_id, item.description, item.environment_name]
    first.append(at.isoformat() if whole else at.strftime(shape))
    last = [json.dumps(item.tags)] if tags else []
    if not resources:
        return [[*first, str(item.cost), *last]]
    return [[*first, name, str(cost), *last] for name, cost in item.cost_by_resource.items()]


class Span(NamedTuple):
    """From one time to before another."""

    start: datetime
    end: datetime | None


def _span(start: str, end: str, for_: str, zone: tzinfo) -> Span:
    if for_:
        if start or end:
            raise click.UsageError("expected --for, or --start and --end, got both")
        return range_of(for_, datetime.now(zone))
    if not start:
        raise click.UsageError("say of which time: --for 'this month', or --start 2026-01-31")
    now = datetime.now(zone)
    return Span(moment_of(start, now), moment_of(end, now) if end else None)


def range_of(named: str, now: datetime) -> Span:
    """The time of a name. Raises UsageError."""
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    monday, first = today - timedelta(days=today.weekday()), today.replace(day=1)
    day, week = timedelta(days=1), timedelta(weeks=1)
    spans = {
        "today": (today, today + day),
        "yesterday": (today - day, today),
        "this week": (monday, monday + week),
        "last week": (monday - week, monday),
        "this month": (first, (first + timedelta(days=32)).replace(day=1)),
        "last month": ((first - day).replace(day=1), first),
    }
    if (found := spans.get(named.strip().lower())) is None:
        raise click.UsageError(f"--for: expected one of {', '.join(RANGES)}, got {named!r}")
    return Span(*(at.astimezone(timezone.utc) for at in found))


def moment_of(text: str, now: datetime) -> datetime:
    """A time as people write it, in UTC. Raises UsageError."""
    said = text.strip().lower()
    today = now.replace(hour=0, minute=0, second=0, microsecond=0)
    words = {"now": now, "today": today, "yesterday": today - timedelta(days=1)}
    if said in words:
        return words[said].astimezone(timezone.utc)
    if (match := re.fullmatch(r"(\d{1,5})\s+(hour|day|week)s?\s+ago", said)) is not None:
        return (now - int(match[1]) * UNITS[match[2]]).astimezone(timezone.utc)
    try:
        found = datetime.fromisoformat(text.strip())
    except ValueError:
        raise click.UsageError(
            f"expected a time such as 2026-01-31, today, yesterday or '3 days ago', got {text!r}"
        ) from None
    return (found if found.tzinfo is not None else found.replace(tzinfo=now.tzinfo)).astimezone(timezone.utc)


def zone_of(text: str) -> tzinfo:
    """A time zone: "local", an offset such as 5 or +05:30, or a name. Raises UsageError."""
    if text == "local":
        return datetime.now().astimezone().tzinfo or timezone.utc
    if (match := re.fullmatch(r"([+-]?)(\d{1,2})(?::(\d{2}))?", text)) is not None:
        minutes = int(match[2]) * 60 + int(match[3] or 0)
        if minutes < 24 * 60:
            return timezone(timedelta(minutes=-minutes if match[1] == "-" else minutes))
    try:
        return ZoneInfo(text)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise click.UsageError(f"--tz: expected local, +05:30 or Europe/Berlin, got {text!r}") from None
