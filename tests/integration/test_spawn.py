"""Spawned calls in real containers (programs/spawning.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "spawning.py")[0]


def test_a_spawned_call_has_its_result_for_whoever_knows_its_id(seen: dict[str, Any]):
    assert seen["id"] == "fc-"
    assert (seen["result"], seen["again"], seen["by id"]) == (98, 98, 98)
    assert seen["inputs"] == 1


def test_inputs_and_results_of_any_size_pass(seen: dict[str, Any]):
    assert seen["large"] == (5 << 20) - 1


def test_functions_spawn_calls_and_ask_for_those_of_others(seen: dict[str, Any]):
    assert seen["in a container"] == 9
    assert seen["async in a container"] is True
    assert seen["passed on"] == 25


def test_get_raises_what_the_function_raised(seen: dict[str, Any]):
    assert seen["its own exception"] == "no 3"


def test_get_gives_up_after_its_timeout_and_with_0_looks_once(seen: dict[str, Any]):
    assert seen["not yet"] == [True, True]


def test_a_cancelled_call_says_so_to_those_who_ask(seen: dict[str, Any]):
    assert seen["cancelled"] == "Input was cancelled by user"


def test_an_unknown_id_is_refused(seen: dict[str, Any]):
    assert seen["unknown"] is True


def test_generators_are_refused(seen: dict[str, Any]):
    assert seen["generator"] is True


def test_gather_gives_results_in_order_and_the_first_failure_at_once(seen: dict[str, Any]):
    assert seen["gathered"] == [0, 1, 4, 9, 16]
    assert seen["gathered failure"] == "no 9"


def test_spawn_map_is_one_call_whose_results_come_by_index_in_order_and_in_part(seen: dict[str, Any]):
    assert seen["of the map"] == 2500
    assert seen["one of it"] == 12_000_000
    assert seen["all of it"] is True
    assert seen["a part of it"] == [300, 363, 432]
    assert seen["a later part"] == [18_720_012, 18_735_003]
    assert seen["past the end"] is True
    assert seen["nothing"] == []


def test_the_call_graph_shows_what_an_input_called(seen: dict[str, Any]):
    assert seen["root"] == ["nested", "SUCCESS", True]
    assert seen["children"] == [["square", "SUCCESS"]]


def test_everything_has_its_twin_for_coroutines(seen: dict[str, Any]):
    assert seen["async result"] == 36
    assert seen["async map"] is True
    assert seen["async inputs"] == 40
