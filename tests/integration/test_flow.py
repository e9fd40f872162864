"""How map reads its inputs and gives its results, in real containers (programs/flow.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

AHEAD = 1500
"""Inputs that a map of a slow function may have read before their turn: its window, and a chunk."""


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "flow.py")[0]


@pytest.mark.parametrize("kind", ["endless", "endless async"])
def test_an_endless_iterator_is_read_ahead_by_a_bound(seen: dict[str, Any], kind: str):
    assert seen[f"{kind}, in order"] is True
    assert 100 <= seen[f"{kind}, read"] <= AHEAD


@pytest.mark.parametrize("kind", ["endless", "endless async"])
def test_a_map_left_early_closes_its_iterator(seen: dict[str, Any], kind: str):
    assert seen[f"{kind}, closed"] is True


def test_a_map_left_early_drops_what_has_not_started(seen: dict[str, Any]):
    assert 100 <= seen["endless, ran"] < seen["endless, read"]


@pytest.mark.parametrize("kind", ["broken", "broken, unordered", "broken async", "broken, read by aio"])
def test_an_exception_of_the_iterator_comes_after_all_results_of_what_it_gave(
    seen: dict[str, Any], kind: str
):
    assert seen[kind] == [True, "the source is broken", True]


def test_an_argument_that_cannot_be_pickled_ends_an_asynchronous_map(seen: dict[str, Any]):
    assert "number 1 of its inputs" in seen["unpicklable async"]


def test_a_slow_consumer_slows_the_reading(seen: dict[str, Any]):
    assert seen["slow consumer, read"] <= AHEAD
    assert seen["slow consumer, next"] == [1, 2, 3]


def test_results_that_nobody_takes_wait_in_bounded_memory(seen: dict[str, Any]):
    assert seen["big results, MiB"] == 400
    assert seen["big results, MiB held"] < 200
    assert seen["big results, MiB after"] < 200


def test_an_item_does_not_wait_for_the_one_behind_it(seen: dict[str, Any]):
    """The iterator saw each item run before it gave the next."""
    assert seen["slow source"] == [0, 1, 2]


def test_an_endless_iterator_beside_a_short_one_is_fine(seen: dict[str, Any]):
    assert seen["unzipped"] == [0, 1]
