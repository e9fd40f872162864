"""Charts of the dashboard: minutes put together, scales that are round, and what is drawn."""

from __future__ import annotations

import json
import re

import pytest

from ionian.server.dashboard.charts import Chart, Series, rounded, shown
from ionian.server.dashboard.history import SPANS, steps
from ionian.server.durations import bucket
from ionian.server.store.counts import Counted

HOUR, DAY = SPANS["hour"], SPANS["day"]


def minute(number: int, function_id: str = "fu-1", epoch: int = 1, **numbers: int) -> Counted:
    found = Counted(function_id, number, epoch, "fu-1", "ap-1", "main")
    for name, value in numbers.items():
        setattr(found, name, value)
    return found


def chart(*values: list[float | None], kind: str = "bars", unit: str = "count") -> Chart:
    series = [Series(f"s{number}", "good", one) for number, one in enumerate(values)]
    return Chart("Calls", kind, unit, series, 0.0, 60.0)  # type: ignore[arg-type]


def test_minutes_are_summed_to_the_steps_of_a_longer_time() -> None:
    rows = [minute(150, succeeded=3, failed=1), minute(164, timed_out=2), minute(165, succeeded=5)]
    found = steps(rows, DAY, 150)
    assert [(one.succeeded, one.failed) for one in found[:3]] == [(3, 3), (5, 0), (0, 0)]


def test_of_what_waits_and_is_there_the_most_is_kept() -> None:
    rows = [
        minute(0, waiting=7, containers=2),
        minute(0, epoch=2, waiting=4, containers=1),  # the same minute after a start of the server
        minute(0, "fu-variant", waiting=5, containers=1),
        minute(1, waiting=9, containers=9),
    ]
    found = steps(rows, DAY, 0)[0]
    assert (found.waiting, found.containers) == (12, 9)
    assert [one.waiting for one in steps(rows, HOUR, 0)[:2]] == [12, 9]


def test_durations_of_minutes_are_put_together() -> None:
    first, second = minute(0), minute(14)
    first.run, second.run = {bucket(1e3): 3}, {bucket(1e3): 1, bucket(1e6): 2}
    assert steps([first, second], DAY, 0)[0].run == {bucket(1e3): 4, bucket(1e6): 2}


@pytest.mark.parametrize(
    ("most", "unit", "expected"),
    [
        (0, "count", 2),
        (1, "count", 2),
        (3, "count", 4),
        (5, "count", 6),
        (11, "count", 20),
        (41, "count", 60),
        (0, "seconds", 1),
        (0.0031, "seconds", 0.004),
        (61, "seconds", 120),
        (3 << 20, "bytes", 4 << 20),
        (700 << 20, "bytes", 1 << 30),
        (128 << 20, "bytes", 128 << 20),
        (0.3, "share", 1),
    ],
)
def test_a_scale_ends_at_a_round_number(most: float, unit: str, expected: float) -> None:
    assert rounded(most, unit) == pytest.approx(expected)  # type: ignore[arg-type]


def test_bars_stand_on_each_other() -> None:
    two = chart([1, 2], [3, None])
    assert two.top == 4
    (_, _, below), (_, _, above) = two.paths
    assert re.findall(r"M\S+ (\S+)V(\S+)h", below) == [("100.0", "75.0"), ("100.0", "50.0")]
    assert re.findall(r"M\S+ (\S+)V(\S+)h", above) == [("75.0", "0.0")]


def test_a_line_is_broken_where_nothing_is_known_and_a_single_value_is_a_dot() -> None:
    ((_, _, path),) = chart([1, 1, None, 1], kind="lines").paths
    assert path.count("M") == 2
    assert path.count("L") == 1
    assert path.endswith("h.1")


def test_a_chart_says_what_it_shows_to_who_does_not_see_it() -> None:
    assert chart([1, 7, 2]).said == "Calls: s0 2 at the end, 7 at most"
    assert chart([None], kind="lines").said == "Calls: nothing"
    assert chart([None, 0]).is_empty


def test_what_a_script_reads_of_a_chart_is_json() -> None:
    data = json.loads(chart([0.123456, None, 3.0], kind="lines", unit="seconds").data)
    assert data == {"at": 0.0, "step": 60.0, "unit": "seconds", "series": [["s0", "good", [0.1235, None, 3]]]}


def test_large_numbers_are_short_beside_a_chart() -> None:
    assert [shown(value, "count") for value in (0, 999, 12_000, 2_500_000)] == ["0", "999", "12k", "2.5M"]


@pytest.mark.parametrize(
    ("seconds", "expected"), [(0, "0"), (0.004, "4 ms"), (2, "2 s"), (90, "1.5 min"), (7200, "2 h")]
)
def test_durations_are_short_beside_a_chart(seconds: float, expected: str) -> None:
    assert shown(seconds, "seconds") == expected
