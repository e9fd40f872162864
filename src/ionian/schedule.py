"""When a deployed function runs by itself: at times of the clock, or each time a period has passed."""

from __future__ import annotations

from .arguments import integer, number, text, wrong
from .execution import is_local

CRON_FIELDS = 5


class Cron:
    """Times of the clock, as five fields (minute, hour, day of month, month, day of week) in a time zone.

    ```python
    modal.Cron("0 6 * * *", timezone="Europe/Berlin")  # six in the morning, there
    ```
    """

    def __init__(self, cron_string: str, timezone: str = "UTC") -> None:
        if is_local():
            text("timezone", timezone)
            if len(text("cron_string", cron_string).split()) != CRON_FIELDS:
                raise wrong("cron_string", 'five fields, as in "0 6 * * *"', cron_string)
        self.cron_string = cron_string
        self.timezone = timezone

    def __repr__(self) -> str:
        return f"Cron({self.cron_string!r}, timezone={self.timezone!r})"


class Period:
    """A length of time by the calendar: a month after 31 January is the end of February.

    ```python
    modal.Period(hours=4)
    ```
    """

    def __init__(
        self,
        *,
        years: int = 0,
        months: int = 0,
        weeks: int = 0,
        days: int = 0,
        hours: int = 0,
        minutes: int = 0,
        seconds: float = 0,
    ) -> None:
        parts = {
            "years": years,
            "months": months,
            "weeks": weeks,
            "days": days,
            "hours": hours,
            "minutes": minutes,
        }
        if is_local():
            for name, value in parts.items():
                integer(name, value, least=0)
            number("seconds", seconds, least=0, most=366 * 86_400)
            if not seconds and not any(parts.values()):
                raise wrong("Period", "a length above zero, as in Period(hours=4)", 0)
        self.years = years
        self.months = months
        self.weeks = weeks
        self.days = days
        self.hours = hours
        self.minutes = minutes
        self.seconds = seconds

    def __repr__(self) -> str:
        parts = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")
        return f"Period({', '.join(f'{p}={getattr(self, p)}' for p in parts if getattr(self, p))})"
