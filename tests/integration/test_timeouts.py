"""Inputs, starts and ends that take their time, in real containers (programs/time_limits.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "time_limits.py")[0]


def test_an_input_over_its_timeout_ends_in_an_error_that_names_function_and_seconds(seen: dict[str, Any]):
    assert seen["first"] == (
        "FunctionTimeoutError: endless_once ran longer than its timeout of 3 s and was ended. Raise it with "
        "@app.function(timeout=…)."
    )


def test_what_ran_beside_it_in_its_container_is_run_again(seen: dict[str, Any]):
    assert seen["second"] == "again"


def test_what_had_ended_beside_it_has_its_result(seen: dict[str, Any]):
    assert seen["third"] == "at once"


def test_an_enter_counts_as_part_of_the_start(seen: dict[str, Any]):
    assert "did not start, tried 3 times" in seen["never ready"]
    assert "was not ready within 1 s" in seen["never ready"]
    assert "startup_timeout" in seen["never ready"]


def test_a_container_for_one_input_runs_one_and_leaves(seen: dict[str, Any]):
    assert seen["once"] == 5
    assert seen["once left"] is True


def test_what_runs_at_a_containers_end_may_take_thirty_seconds(seen: dict[str, Any]):
    assert seen["left"] is True
