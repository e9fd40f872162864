"""When a schedule is due next: cron by cronsim (right over daylight-saving changes), periods by the calendar."""

from __future__ import annotations

from datetime import datetime, timezone
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError
from dateutil.relativedelta import relativedelta

from ..protocol.spec import Schedule

CRON_FIELDS = 5
LEAST_PERIOD_S = 1.0
"""A shorter period than this would be a busy loop of calls."""
ROUNDING_S = 1e-5
"""Times of this century are floats a fraction of a microsecond apart, and datetimes whole microseconds."""


class BadSchedule(ValueError):
    """No time follows from the schedule. The message names what is wrong with it."""


def next_run(schedule: Schedule, after: float) -> float:
    """The first time behind `after` at which a schedule is due; both in seconds since 1970. Raises BadSchedule.

    ```python
    next_run(Schedule(cron="0 6 * * *", timezone="Europe/Berlin"), time.time())
    ```
    """
    return _next_moment(schedule, after) if schedule.cron else _next_period(schedule, after)


def _next_moment(schedule: Schedule, after: float) -> float:
    cron = schedule.cron
    if len(cron.split()) != CRON_FIELDS:  # cronsim takes a sixth one for seconds
        raise BadSchedule(f'cron_string: expected five fields, as in "0 6 * * *", got {cron!r}')
    try:
        zone = ZoneInfo(schedule.timezone)
    except (ZoneInfoNotFoundError, ValueError, OSError):
        raise BadSchedule(
            f'timezone: expected a name such as "Europe/Berlin", got {schedule.timezone!r}'
        ) from None
    try:
        for moment in CronSim(cron, datetime.fromtimestamp(after, zone)):
            due = moment.timestamp()
            if due > after:  # of an hour that comes twice cronsim may name the first again
                return due
    except CronSimError as error:
        raise BadSchedule(f"cron_string: {error} in {cron!r}") from None
    raise BadSchedule(f"cron_string: expected a time that comes, got {cron!r}, which no day of any year is")


def _next_period(schedule: Schedule, after: float) -> float:
    """In UTC: a day is 24 hours."""
    length = relativedelta(
        years=schedule.years,
        months=schedule.months,
        weeks=schedule.weeks,
        days=schedule.days,
        hours=schedule.hours,
        minutes=schedule.minutes,
    )
    try:
        moment = datetime.fromtimestamp(after, timezone.utc) + length
    except (OverflowError, ValueError):
        raise BadSchedule("Period: expected a length that ends before the year 9999") from None
    due = moment.timestamp() + schedule.seconds
    if due - after < LEAST_PERIOD_S - ROUNDING_S:
        raise BadSchedule(f"Period: expected at least {LEAST_PERIOD_S:g} second, got {due - after:g} s")
    return due
