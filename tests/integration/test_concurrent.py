"""Several inputs at once in real containers (programs/inputs_at_once.py, methods_at_once.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "inputs_at_once.py")[0]


@pytest.fixture(scope="module")
def seen_of_methods(home: Home) -> dict[str, Any]:
    return seen_by(home, "methods_at_once.py")[0]


@pytest.mark.parametrize("way", ["threads", "loop"])
def test_as_many_inputs_run_at_once_as_the_function_says(seen: dict[str, Any], way: str):
    assert [row[0] for row in seen[way]] == [0, 1, 2, 3]
    assert len({row[1] for row in seen[way]}) == 1  # one process


@pytest.mark.parametrize("way", ["threads", "loop"])
def test_each_input_knows_its_id_and_has_context_variables_of_its_own(seen: dict[str, Any], way: str):
    for number, _, before, after, kept, call in seen[way]:
        assert before == after == f"in-{call[3:]}:{number}"
        assert kept == number


@pytest.mark.parametrize("way", ["generators", "async generators"])
def test_generators_run_beside_each_other_with_their_items_in_order(seen: dict[str, Any], way: str):
    assert [len(items) for items in seen[way]] == [3, 50, 0, 7]
    for items in seen[way]:
        assert [item.split()[1] for item in items] == [str(n) for n in range(len(items))]
        assert len({item.split()[0] for item in items}) <= 1


def test_an_input_that_fails_fails_alone(seen: dict[str, Any]):
    assert seen["failures"] == [f"ValueError: {n} ends in 3" if n % 10 == 3 else str(n) for n in range(200)]


def test_inputs_in_threads_call_other_functions(seen: dict[str, Any]):
    assert seen["nested"] == [n + 3 * (n * (n - 1) // 2) for n in range(12)]


def test_a_class_runs_its_sync_methods_in_threads_and_its_async_ones_on_the_loop(
    seen_of_methods: dict[str, Any],
):
    assert seen_of_methods["both"] == [True] * 12


def test_what_an_async_enter_left_on_the_loop_goes_on_between_inputs(seen_of_methods: dict[str, Any]):
    assert seen_of_methods["ticked between inputs"] is True
