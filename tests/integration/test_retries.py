"""Inputs that fail and are tried again, in real containers (programs/retries.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "retries.py")[0]


def test_an_input_that_fails_is_tried_again_until_it_succeeds(seen: dict[str, Any]):
    assert seen["third time"] == 3
    assert seen["spawned"] == 3
    assert seen["mapped"] == [3] * 5


def test_after_the_last_try_its_own_exception_arrives(seen: dict[str, Any]):
    assert seen["exhausted"] == ["try 3", 3]


def test_a_try_that_runs_over_its_time_counts_as_a_failed_one(seen: dict[str, Any]):
    assert seen["timeout"] == 2


def test_a_container_that_dies_of_an_input_does_not_end_it(seen: dict[str, Any]):
    assert seen["died"] == 2


def test_tries_wait_as_long_as_the_policy_says(seen: dict[str, Any]):
    assert seen["delayed"] == 3
    first, second = seen["delays"]
    assert first >= 0.5
    assert second >= 1.0


def test_without_retries_the_first_failure_counts(seen: dict[str, Any]):
    assert seen["without"] == 1


def test_a_variant_has_retries_of_its_own(seen: dict[str, Any]):
    assert seen["variant"] == 2
