"""Arguments and results that hardly fit into their container, and not into what passes them on
(programs/large_results.py)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from tests.homes import new_home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

MUCH_MIB = 32
"""Of a result of 100 MiB, server and worker have a few parts of 1 MiB at a time."""


@pytest.fixture(scope="module")
def seen() -> Iterator[dict[str, Any]]:
    """In a home of its own: what its server and its worker had at most is of these results alone."""
    with new_home() as home:
        yield seen_by(home, "large_results.py")[0]


def test_a_container_of_256_mib_returns_100_and_they_arrive_whole(seen: dict[str, Any]):
    assert seen["remote"] == [100, True]
    assert seen["spawned"] == [100, True]


def test_it_does_so_one_after_the_other(seen: dict[str, Any]):
    assert seen["one after the other"] == [100, 101, 102]


def test_a_container_of_256_mib_takes_100_and_gives_them_back(seen: dict[str, Any]):
    assert seen["echo"] == [True, True]
    assert seen["echo_beside_others"] == [True, True]


def test_a_generator_yields_large_items(seen: dict[str, Any]):
    assert seen["yielded"] == [[60, 0], [60, 1], [60, 2]]


def test_a_container_calls_another_with_what_is_large(seen: dict[str, Any]):
    assert seen["from a container"] == [True, True]


def test_a_large_argument_costs_the_worker_hardly_anything(seen: dict[str, Any]):
    assert seen["taken"]
    assert seen["worker grew by an argument"] < 16


def test_neither_server_nor_worker_has_a_large_result_in_memory(seen: dict[str, Any]):
    assert seen["server grew"] < MUCH_MIB
    assert seen["worker grew"] < MUCH_MIB


def test_a_result_that_its_own_container_has_no_memory_for_says_so(seen: dict[str, Any]):
    assert "limit of 256 MiB" in seen["too large"]
    assert seen["after"] == 1 << 20
