"""Schedules and retries are checked when they are made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from ionian import Cron, Period, Retries
from ionian.exception import InvalidError


def test_they_show_what_they_are() -> None:
    assert repr(Cron("0 6 * * *", timezone="Europe/Berlin")) == "Cron('0 6 * * *', timezone='Europe/Berlin')"
    assert repr(Period(days=1, seconds=0.5)) == "Period(days=1, seconds=0.5)"
    assert "max_retries=3" in repr(Retries(max_retries=3))


@pytest.mark.parametrize(
    ("name", "make"),
    [
        ("cron_string", lambda: Cron("0 6 * *")),
        ("cron_string", lambda: Cron(5)),  # pyright: ignore
        ("timezone", lambda: Cron("0 6 * * *", timezone="")),
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
