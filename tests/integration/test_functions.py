"""Every way to call a function, in real containers (programs/functions.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "functions.py")[0]


def test_remote_runs_one_input_with_its_arguments(seen: dict[str, Any]):
    assert seen["remote"] == 111
    assert seen["remote with keywords"] == 6


def test_local_runs_here_and_a_plain_call_is_refused(seen: dict[str, Any]):
    assert seen["local"] == 11
    assert "write plain.remote(…)" in seen["called"]


def test_map_gives_results_in_the_order_of_the_inputs(seen: dict[str, Any]):
    assert seen["map"] == [110, 111, 112, 113]
    assert seen["map with kwargs"] == [1]


def test_map_zips_iterables_until_the_shortest_ends(seen: dict[str, Any]):
    assert seen["map of two"] == [111, 122]


def test_unordered_map_gives_every_result_once(seen: dict[str, Any]):
    assert seen["unordered"] is True


def test_starmap_spreads_tuples(seen: dict[str, Any]):
    assert seen["starmap"] == [103, 113]


def test_for_each_gives_nothing(seen: dict[str, Any]):
    assert seen["for_each"] is None
    assert seen["for_each ignores"] is None


def test_a_map_of_nothing_is_empty_and_one_of_no_iterable_is_refused(seen: dict[str, Any]):
    assert seen["empty"] == [[], [], None]
    assert seen["of nothing"] == "InvalidError: map: expected at least one iterable, got none"


def test_an_exception_arrives_as_itself(seen: dict[str, Any]):
    assert seen["raises"] == "ValueError: -1 is below zero"
    assert seen["for_each raises"] == "ValueError: -2 is below zero"


def test_map_raises_when_the_failed_input_is_due(seen: dict[str, Any]):
    assert seen["map raises"] == [111, 112, "ValueError: -3 is below zero"]


def test_map_returns_exceptions_where_it_is_asked_to(seen: dict[str, Any]):
    assert seen["exceptions"] == ["111", "ValueError('-2 is below zero')", "113"]


def test_a_map_that_nobody_reads_warns(seen: dict[str, Any]):
    assert len(seen["never read"]) == 1
    assert "ran nothing" in seen["never read"][0]


def test_a_coroutine_function_is_awaited_in_its_container(seen: dict[str, Any]):
    assert seen["coroutine"] == [8, 2, 4]
    assert seen["coroutine, here"] == 8


def test_a_generator_yields_its_items_in_order(seen: dict[str, Any]):
    assert seen["generator"] == [0, 1, 2, 3]
    assert seen["generator of 3000"] is True
    assert seen["generator of none"] == []
    assert seen["generator, here"] == [0, 1, 2]
    assert seen["async generator"] == [0, 1, 2, 3]


def test_a_generator_that_fails_gives_what_it_yielded_before(seen: dict[str, Any]):
    assert seen["generator that fails"] == [0, 1, 2, "KeyError: 'no 3'"]


def test_a_generator_left_early_is_ended_and_its_function_goes_on(seen: dict[str, Any]):
    assert seen["generator, left early"] == 0
    assert seen["generator after it"] == [0, 1]


def test_generators_and_functions_name_the_right_method(seen: dict[str, Any]):
    assert "count.remote_gen(…)" in seen["remote of a generator"]
    assert "plain.remote(…)" in seen["remote_gen of a function"]
    assert "count.remote_gen(…)" in seen["map of a generator"]


def test_a_serialized_function_brings_its_globals(seen: dict[str, Any]):
    assert seen["by value"] == 8


def test_every_method_has_an_aio_twin(seen: dict[str, Any]):
    aio = seen["aio"]
    assert aio["remote"] == 13
    assert aio["together"] == [n + 110 for n in range(20)]
    assert aio["map"] == [110, 111, 112, 113, 114]
    assert aio["starmap"] == [3, 7]
    assert aio["for_each"] is None
    assert aio["remote_gen"] == aio["remote_gen_async"] == [0, 1, 2]
    assert "raised" not in aio


def test_the_blocking_methods_work_inside_a_running_loop(seen: dict[str, Any]):
    assert seen["aio"]["blocking inside a loop"] == 111
    assert seen["aio"]["blocking map inside a loop"] == [111, 112]


def test_code_knows_where_it_runs_and_for_which_input(seen: dict[str, Any]):
    assert seen["here"] == [True, None, None]
    there = seen["there"]
    assert there["local"] is False
    assert there["call"].startswith("fc-")
    assert there["input"] == f"in-{there['call'][3:]}:0"
