"""Functions called from inside containers, and payloads of every size (programs/nested.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "nested.py")[0]


def test_every_way_to_call_works_inside_a_container(seen: dict[str, Any]):
    outer = seen["outer"]
    assert outer["remote"] == outer["local"] == 8
    assert outer["map"] is outer["unordered"] is True
    assert outer["starmap"] == [2, 4]
    assert outer["for_each"] is None
    assert outer["remote_gen"] == ["a", "b", "c"]
    assert outer["left early"] == "a"


def test_an_exception_passes_through_two_containers(seen: dict[str, Any]):
    assert seen["outer"]["raises"] == "-1 is below zero"
    assert seen["outer"]["exceptions"] == ["2", "LookupError('-1 is below zero')"]


def test_coroutines_call_from_inside_a_container(seen: dict[str, Any]):
    aio = seen["outer"]["aio"]
    assert aio["together"] == [2 * n for n in range(20)]
    assert aio["map"] == [0, 2, 4, 6, 8]
    assert aio["remote_gen"] == ["a", "b", "c"]
    assert seen["outer_async"] == [2, 4, 6, 8]


def test_threads_call_from_inside_a_container(seen: dict[str, Any]):
    assert seen["outer"]["threads"] == [2 * n for n in range(8)]


def test_a_function_calls_itself(seen: dict[str, Any]):
    assert seen["factorial"] == 24


def test_the_ids_stay_those_of_the_outer_input(seen: dict[str, Any]):
    input_id, call_id = seen["outer"]["ids"]
    assert input_id == f"in-{call_id[3:]}:0"


@pytest.mark.parametrize("way", ["sizes there", "sizes back"])
def test_payloads_of_every_size_pass_between_containers(seen: dict[str, Any], way: str):
    assert len(seen["outer"][way]) == 5
    assert all(seen["outer"][way].values())
    assert seen["outer"]["big map"] == [3 << 20, 10, 4 << 20]


@pytest.mark.parametrize("way", ["sizes there", "sizes back"])
def test_payloads_of_every_size_pass_between_home_and_container(seen: dict[str, Any], way: str):
    assert len(seen[way]) == 4
    assert all(seen[way].values())
    assert seen["mixed sizes"] == [1, 3 << 20, 70_000] * 5
