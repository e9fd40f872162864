"""Batched functions in real containers (programs/batches.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "batches.py")[0]


@pytest.mark.parametrize("way", ["sync", "async"])
def test_inputs_come_as_lists_and_each_has_its_own_result(seen: dict[str, Any], way: str):
    assert seen[way] == [[3 * n, 4, True] for n in range(8)]


def test_as_many_batches_run_at_once_as_the_function_says(seen: dict[str, Any]):
    assert seen["at once"] == [10 * n for n in range(6)]


def test_a_batch_behind_a_slow_one_runs_in_another_container(seen: dict[str, Any]):
    assert seen["apart"] == [0, 1, 2, 3]


def test_an_input_that_comes_alone_does_not_wait_where_nothing_is_waited_for(seen: dict[str, Any]):
    assert seen["alone"] == [1, 1]


def test_what_is_no_list_of_as_many_results_fails_each_input_with_both_numbers(seen: dict[str, Any]):
    few, text, raised = seen["wrong"][:2], seen["wrong"][2:4], seen["wrong"][4:]
    assert (
        few
        == [
            "InvalidError: the batched function wrong must return a list with one result for each input: it got 2 inputs, and "
            "returned 1 results"
        ]
        * 2
    )
    assert (
        text
        == [
            "InvalidError: the batched function wrong must return a list with one result for each of its 2 inputs, and returned "
            "a value of type str"
        ]
        * 2
    )
    assert raised == ["ValueError: no [4, 5]"] * 2
