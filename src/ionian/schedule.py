"""When a deployed function runs by itself: at times of the clock, or each time a period has passed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .arguments import integer, number, text, wrong
from .exception import InvalidError
from .execution import is_local

if TYPE_CHECKING:
    from .protocol.spec import Schedule

CRON_FIELDS: tuple[tuple[str, int, int, tuple[str, ...]], ...] = (
    ("minute", 0, 59, ()),
    ("hour", 0, 23, ()),
    ("day of month", 1, 31, ()),
    ("month", 1, 12, ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")),
    ("day of week", 0, 7, ("SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT")),
)
"""Name, least, greatest, and the words that stand for the numbers from the least on."""


class Cron:
    """Times of the clock, as five fields (minute, hour, day of month, month, day of week) in a time zone.

    ```python
    modal.Cron("0 6 * * *", timezone="Europe/Berlin")  # six in the morning, there
    ```
    """

    def __init__(self, cron_string: str, timezone: str = "UTC") -> None:
        if is_local():
            _check_timezone(timezone)
            _check_cron(cron_string)
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
                integer(name, value, least=0, most=100_000)
            number("seconds", seconds, least=0, most=366 * 86_400)
            if not seconds and not any(parts.values()):
                raise wrong("Period", "a length above zero, as in Period(hours=4)", 0)
            if seconds < 1 and not any(parts.values()):
                raise wrong("seconds", "a period of at least 1 second", seconds)
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


def schedule_spec(value: Any) -> Schedule | None:
    """The argument `schedule`, as the protocol says it."""
    if value is None:
        return None
    from .protocol.spec import Schedule

    if isinstance(value, Cron):
        return Schedule(cron=value.cron_string, timezone=value.timezone)
    if isinstance(value, Period):
        return Schedule(**vars(value))
    raise wrong("schedule", "a modal.Cron or a modal.Period", value)


def check_scheduled(raw: Any) -> None:
    """Refuses a schedule on a function that can't run without arguments, or does not return."""
    import inspect

    if inspect.isgeneratorfunction(raw) or inspect.isasyncgenfunction(raw):
        raise InvalidError(f"schedule: expected a function that returns, got the generator {raw.__name__}")
    for parameter in inspect.signature(raw).parameters.values():
        if parameter.default is parameter.empty and parameter.kind not in (
            parameter.VAR_POSITIONAL,
            parameter.VAR_KEYWORD,
        ):
            raise InvalidError(
                f"schedule: {raw.__name__} runs without arguments then; give {parameter.name} a default"
            )


def _check_cron(cron_string: str) -> None:
    """What can be said without a library for cron; the server, which has one, looks again at a deploy."""
    fields = text("cron_string", cron_string).upper().split()
    if len(fields) != len(CRON_FIELDS):
        raise wrong("cron_string", 'five fields, as in "0 6 * * *"', cron_string)
    for field, (name, least, greatest, words) in zip(fields, CRON_FIELDS, strict=True):
        for term in field.split(","):
            if not _is_term(term, name, least, greatest, words):
                named = f" or {words[0]} to {words[-1]}" if words else ""
                expected = f"{least} to {greatest}{named}, *, a range as 1-5 or a step as */2 for the {name}"
                raise wrong("cron_string", expected, cron_string)


def _is_term(term: str, name: str, least: int, greatest: int, words: tuple[str, ...]) -> bool:
    """Whether this is a part of a field: `*`, `5`, `MON`, `1-5`, `*/2`, `10-20/5`; `L`, `LW`, `5#2`, `5L` for days."""
    base, slash, step = term.partition("/")
    if slash and (not step.isdecimal() or int(step) == 0):
        return False
    if base == "*" or (name == "day of month" and base in ("L", "LW")):
        return True
    if name == "day of week":
        day, _, nth = base.partition("#")
        if nth:
            return nth in ("1", "2", "3", "4", "5") and _value(day, least, greatest, words) is not None
        base = base[:-1] if base[:-1].isdecimal() and base.endswith("L") else base
    first, dash, last = base.partition("-")
    low = _value(first, least, greatest, words)
    high = _value(last, least, greatest, words) if dash else low
    return low is not None and high is not None and low <= high


def _value(word: str, least: int, greatest: int, words: tuple[str, ...]) -> int | None:
    if word in words:
        return least + words.index(word)
    return int(word) if word.isascii() and word.isdecimal() and least <= int(word) <= greatest else None


def _check_timezone(timezone: str) -> None:
    import zoneinfo

    try:
        zoneinfo.ZoneInfo(text("timezone", timezone))
    except (zoneinfo.ZoneInfoNotFoundError, ValueError, OSError):
        if timezone == "UTC" or not zoneinfo.available_timezones():
            return  # this machine knows none
        raise wrong("timezone", 'a name of the time zone database, as "Europe/Berlin"', timezone) from None
