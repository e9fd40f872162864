"""What was used: ReadUsage."""

from __future__ import annotations

from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from ionian.protocol.stream import Refused
from ionian.protocol.usage import PriceList, ReadPrices, ReadUsage, UsageReport

from ..auth import Actor, Target, authorise
from ..prices import PriceError, PriceSheet
from ..usage_report import COLUMNS, SINGLE, Span, report
from .context import Context, in_thread

LONGEST_S = 400 * 24 * 3600.0
"""A report is of so long a time at most: a year, and what is left of a month."""


async def read_usage(
    actor: Actor, message: ReadUsage, _: bytes, context: Context
) -> tuple[UsageReport, bytes]:
    """What was used between two times, and what it costs."""
    authorise(actor, "ReadUsage", Target(message.environment))
    environment = message.environment or actor.environment
    _check(message)
    zone = _zone(message.zone)
    app_ids = None
    if message.app:
        app_ids = await in_thread(context.store.apps.ids_of, message.app, environment)
        if not app_ids:
            where = f" in environment {environment!r}" if environment else ""
            raise Refused("NotFoundError", f"there is no app {message.app[:80]!r}{where}")
    span = Span(message.since_at, message.until_at, environment, app_ids)
    prices = await in_thread(prices_of, context)
    found = await in_thread(report, context.store, prices, message.by, span, zone)
    if message.tags:
        tags = await in_thread(context.store.apps.tags_of, {row.keys.get("app", "") for row in found.rows})
        for row in found.rows:
            row.tags = tags.get(row.keys.get("app", ""), {})
    return found, b""


async def read_prices(actor: Actor, _: ReadPrices, __: bytes, context: Context) -> tuple[PriceList, bytes]:
    """The prices that count now."""
    authorise(actor, "ReadPrices", Target())
    sheet = await in_thread(prices_of, context)
    return PriceList(sheet.currency, sheet.cpu_core, sheet.memory_gib, dict(sheet.gpu)), b""


def prices_of(context: Context) -> PriceSheet:
    """The prices that count now. Raises Refused where their file is not right."""
    try:
        return context.prices.sheet()
    except PriceError as error:
        raise Refused("InvalidError", str(error)) from None


def _check(message: ReadUsage) -> None:
    single = [one for one in message.by if one in SINGLE]
    if not message.by or (single and len(message.by) > 1):
        words = ", ".join(COLUMNS)
        raise Refused("InvalidError", f"by: expected some of {words}; container and call each alone")
    if not message.since_at < message.until_at <= message.since_at + LONGEST_S:
        raise Refused(
            "InvalidError", "since, until: expected a time before another, and at most 400 days between them"
        )


def _zone(name: str) -> ZoneInfo:
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise Refused(
            "InvalidError", f"zone: expected a time zone such as Europe/Berlin, got {name[:80]!r}"
        ) from None
