"""When a schedule is due: by the clock of its zone, over daylight-saving changes, by the calendar."""

from __future__ import annotations

from datetime import datetime
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionian.protocol.spec import Schedule
from ionian.server.next_run import BadSchedule, next_run


def at(text: str, zone: str = "UTC", fold: int = 0) -> float:
    """Seconds since 1970 of a time of a zone's clock."""
    return datetime.fromisoformat(text).replace(tzinfo=ZoneInfo(zone), fold=fold).timestamp()


def runs(schedule: Schedule, after: float, count: int) -> list[float]:
    """The next few times."""
    found: list[float] = []
    for _ in range(count):
        after = next_run(schedule, after)
        found.append(after)
    return found


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        ("* * * * *", "2026-01-01T00:00:30.5", "2026-01-01T00:01"),
        ("0 6 * * *", "2026-01-01T06:00", "2026-01-02T06:00"),
        ("0 6 * * *", "2026-01-01T05:59:59", "2026-01-01T06:00"),
        ("30 4 * * mon", "2026-01-01T00:00", "2026-01-05T04:30"),
        ("0 0 29 2 *", "2026-01-01T00:00", "2028-02-29T00:00"),
        ("*/20 9-10 * jan *", "2026-01-01T10:40", "2026-01-02T09:00"),
    ],
)
def test_cron_is_due_at_the_next_time_that_all_its_fields_name(cron: str, after: str, expected: str) -> None:
    assert next_run(Schedule(cron=cron), at(after)) == at(expected)


BERLIN = "Europe/Berlin"


def test_a_time_that_the_clock_jumps_over_in_spring_is_due_once_at_the_jump() -> None:
    daily = Schedule(cron="30 2 * * *", timezone=BERLIN)
    assert runs(daily, at("2026-03-28T12:00", BERLIN), 2) == [
        at("2026-03-29T03:00", BERLIN),
        at("2026-03-30T02:30", BERLIN),
    ]


def test_a_time_that_comes_twice_in_autumn_is_due_once() -> None:
    daily = Schedule(cron="30 2 * * *", timezone=BERLIN)
    assert runs(daily, at("2026-10-24T12:00", BERLIN), 2) == [
        at("2026-10-25T02:30", BERLIN),
        at("2026-10-26T02:30", BERLIN),
    ]


def test_what_is_due_each_hour_goes_on_each_hour_through_both_changes() -> None:
    hourly = Schedule(cron="0 * * * *", timezone=BERLIN)
    for day in ("2026-03-29", "2026-10-25"):
        found = runs(hourly, at(f"{day}T00:00", BERLIN), 6)
        assert {later - sooner for sooner, later in pairwise(found)} == {3600.0}


@given(
    cron=st.sampled_from(["30 2 * * *", "0 * * * *", "*/15 1-3 * * *", "0 3 * * 0", "15 2,3 25 10 *"]),
    zone=st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "UTC"]),
    after=st.floats(1.7e9, 1.9e9),
)
def test_the_next_time_lies_ahead(cron: str, zone: str, after: float) -> None:
    found = runs(Schedule(cron=cron, timezone=zone), after, 4)
    assert [after, *found] == sorted({after, *found})


@pytest.mark.parametrize(
    ("period", "after", "expected"),
    [
        (Schedule(hours=4), "2026-01-31T22:00", "2026-02-01T02:00"),
        (Schedule(months=1), "2026-01-31T06:00", "2026-02-28T06:00"),
        (Schedule(years=1), "2028-02-29T00:00", "2029-02-28T00:00"),
        (Schedule(weeks=1, days=1, minutes=1), "2026-01-01T00:00", "2026-01-09T00:01"),
        (Schedule(seconds=1.5), "2026-01-01T00:00", "2026-01-01T00:00:01.500"),
    ],
)
def test_a_period_is_counted_by_the_calendar(period: Schedule, after: str, expected: str) -> None:
    assert next_run(period, at(after)) == at(expected)


@given(after=st.floats(1.7e9, 1.9e9))
def test_the_shortest_period_is_taken_at_any_moment(after: float) -> None:
    assert next_run(Schedule(seconds=1), after) == pytest.approx(after + 1, abs=1e-4)


@pytest.mark.parametrize(
    ("schedule", "words"),
    [
        (Schedule(cron="0 6 * *"), "cron_string: expected five fields"),
        (Schedule(cron="0 0 6 * * *"), "cron_string: expected five fields"),
        (Schedule(cron="61 6 * * *"), "cron_string: Bad minute in '61 6"),
        (Schedule(cron="0 6 31 2 *"), "cron_string: Bad day-of-month"),
        (Schedule(cron="0 6 * * *", timezone="Mars/Base"), "timezone: expected a name .* got 'Mars/Base'"),
        (Schedule(cron="0 6 * * *", timezone="../etc/passwd"), "timezone: "),
        (Schedule(), "Period: expected at least 1 second"),
        (Schedule(seconds=0.01), "Period: expected at least 1 second"),
        (Schedule(years=9000), "Period: .* year 9999"),
    ],
)
def test_a_schedule_from_which_no_time_follows_is_refused(schedule: Schedule, words: str) -> None:
    with pytest.raises(BadSchedule, match=words):
        next_run(schedule, at("2026-01-01T00:00"))
