"""Schedules and retries are checked when they are made."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionian import App, Cron, Period, Retries
from ionian.exception import InvalidError
from ionian.protocol.spec import Schedule


def test_they_show_what_they_are() -> None:
    assert repr(Cron("0 6 * * *", timezone="Europe/Berlin")) == "Cron('0 6 * * *', timezone='Europe/Berlin')"
    assert repr(Period(days=1, seconds=0.5)) == "Period(days=1, seconds=0.5)"
    assert "max_retries=3" in repr(Retries(max_retries=3))


@pytest.mark.parametrize(
    "cron",
    [
        "0 6 * * *",
        "*/15 0-6/2,22 1,15 JAN-mar MON-FRI",
        "5 4 L * *",
        "5 4 LW 1-6 *",
        "5 4 * * 5#2",
        "5 4 * * 5L",
        "0 0 * * 7",
    ],
)
def test_what_the_servers_library_takes_is_taken(cron: str) -> None:
    from cronsim import CronSim

    CronSim(cron, datetime(2026, 1, 1, tzinfo=timezone.utc))
    assert Cron(cron).cron_string == cron


@given(
    cron=st.lists(st.text("0123456789*,-/#LWMON", min_size=1, max_size=6), min_size=5, max_size=5).map(
        " ".join
    )
)
def test_what_the_servers_library_refuses_is_seldom_taken(cron: str) -> None:
    """Only a day that no month has is for the library alone to say."""
    from cronsim import CronSim, CronSimError

    try:
        CronSim(cron, datetime(2026, 1, 1, tzinfo=timezone.utc))
    except CronSimError as error:
        if str(error) != "Bad day-of-month":
            with pytest.raises(InvalidError):
                Cron(cron)
    except Exception:  # it trips over some nonsense
        pass


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cron_string", lambda: Cron("0 6 * *")),
        ("cron_string", lambda: Cron(5)),  # pyright: ignore
        ("cron_string: expected 0 to 59, .* for the minute", lambda: Cron("60 6 * * *")),
        ("for the hour, got '0 6-4", lambda: Cron("0 6-4 * * *")),
        ("0 to 7 or SUN to SAT, .* for the day of week", lambda: Cron("0 6 * * funday")),
        ("for the month", lambda: Cron("0 6 * */0 *")),
        ("for the day of month", lambda: Cron("0 6 1,,2 * *")),
        ("timezone", lambda: Cron("0 6 * * *", timezone="")),
        ("timezone: .* got 'Mars/Base'", lambda: Cron("0 6 * * *", timezone="Mars/Base")),
        ("Period", lambda: Period()),
        ("hours", lambda: Period(hours=1.5)),  # pyright: ignore
        ("days", lambda: Period(days=-1)),
        ("seconds", lambda: Period(seconds=-1)),
        ("max_retries", lambda: Retries(max_retries=-1)),
        ("backoff_coefficient", lambda: Retries(max_retries=1, backoff_coefficient=0.5)),
        ("initial_delay", lambda: Retries(max_retries=1, initial_delay=61)),
        ("max_delay", lambda: Retries(max_retries=1, max_delay=0)),
    ],
)
def test_a_wrong_argument_is_refused_by_its_name(name: str, make: Callable[[], Any]) -> None:
    with pytest.raises(InvalidError, match=name):
        make()


def test_a_schedule_goes_to_the_server_with_its_function() -> None:
    app = App("app")

    @app.function(schedule=Cron("0 6 * * *", timezone="Europe/Berlin"), serialized=True)
    def daily(*args: int, note: str = "") -> None: ...

    @app.function(schedule=Period(hours=2, seconds=0.5), serialized=True)
    def often() -> None: ...

    assert daily.options.schedule == Schedule(cron="0 6 * * *", timezone="Europe/Berlin")
    assert often.options.schedule == Schedule(hours=2, seconds=0.5)


def test_a_schedule_on_what_can_not_run_by_itself_is_refused() -> None:
    app = App("app")
    with pytest.raises(InvalidError, match=r"schedule: expected a modal.Cron or a modal.Period, got '0 6"):
        app.function(schedule="0 6 * * *")  # pyright: ignore

    def with_argument(n: int) -> None: ...

    def generator():
        yield 1

    decorate = app.function(schedule=Period(hours=2), serialized=True)
    with pytest.raises(
        InvalidError, match="schedule: with_argument runs without arguments then; give n a def"
    ):
        decorate(with_argument)
    with pytest.raises(InvalidError, match="schedule: expected a function that returns, got the generator"):
        decorate(generator)
