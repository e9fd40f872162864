"""Times as `ionian billing` takes them."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import click
import pytest

from ionian.cli.billing import moment_of, range_of, zone_of
from ionian.environment_billing import month, report_request
from ionian.exception import InvalidError

UTC = timezone.utc

WEDNESDAY = datetime(2026, 1, 14, 15, 30, tzinfo=UTC)


@pytest.mark.parametrize(
    ("named", "start", "end"),
    [
        ("today", (2026, 1, 14), (2026, 1, 15)),
        ("Yesterday", (2026, 1, 13), (2026, 1, 14)),
        ("this week", (2026, 1, 12), (2026, 1, 19)),
        ("last week", (2026, 1, 5), (2026, 1, 12)),
        ("this month", (2026, 1, 1), (2026, 2, 1)),
        ("last month", (2025, 12, 1), (2026, 1, 1)),
    ],
)
def test_a_time_is_named(named: str, start: tuple[int, int, int], end: tuple[int, int, int]) -> None:
    assert range_of(named, WEDNESDAY) == (datetime(*start, tzinfo=UTC), datetime(*end, tzinfo=UTC))


def test_days_are_those_of_the_zone() -> None:
    berlin = WEDNESDAY.astimezone(zone_of("Europe/Berlin"))
    assert range_of("today", berlin).start == datetime(2026, 1, 13, 23, tzinfo=UTC)
    assert zone_of("+05:30").utcoffset(None) == timedelta(hours=5, minutes=30)
    assert zone_of("-4").utcoffset(None) == timedelta(hours=-4)
    with pytest.raises(click.UsageError, match="expected local"):
        zone_of("Mars")


def test_a_moment_is_a_day_or_so_long_ago() -> None:
    assert moment_of("yesterday", WEDNESDAY) == datetime(2026, 1, 13, tzinfo=UTC)
    assert moment_of("3 days ago", WEDNESDAY) == WEDNESDAY - timedelta(days=3)
    assert moment_of("2026-01-02", WEDNESDAY) == datetime(2026, 1, 2, tzinfo=UTC)
    with pytest.raises(click.UsageError, match="expected a time such as"):
        moment_of("soon", WEDNESDAY)


def test_an_interval_that_is_not_over_does_not_count() -> None:
    asked = report_request("main", WEDNESDAY - timedelta(days=2), WEDNESDAY, "d", None)
    assert asked is not None
    assert asked.until_at - asked.since_at == 2 * 24 * 3600
    assert asked.since_at == datetime(2026, 1, 12, tzinfo=UTC).timestamp()
    assert report_request("main", WEDNESDAY, WEDNESDAY, "d", None) is None


def test_a_month_is_named_or_begins_then() -> None:
    assert month("2025-12") == (datetime(2025, 12, 1, tzinfo=UTC), datetime(2026, 1, 1, tzinfo=UTC))
    assert month(datetime(2026, 1, 1))[0] == datetime(2026, 1, 1, tzinfo=UTC)
    assert month("last month")[1] == month(None)[0]
    for wrong in ("2025-13", "next month", "9999-01", WEDNESDAY):
        with pytest.raises(InvalidError, match="cycle: expected"):
            month(wrong)
