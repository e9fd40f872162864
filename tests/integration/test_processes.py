"""Processes, signals and threads of user code in a container (programs/processes.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "processes.py")[0]


@pytest.mark.parametrize("kind", ["fork", "spawn", "forkserver"])
def test_process_pools_work_by_every_start_method(seen: dict[str, Any], kind: str):
    assert seen[kind] == [[0, 1, 4, 9], [[False, "ionian", 4]]]


def test_a_child_process_finds_ionian_and_the_modules_of_the_user(seen: dict[str, Any]):
    assert seen["child"] == "True False\n"
    assert seen["child, user's module"] == "9\n"


def test_a_child_process_that_calls_is_told_that_it_cannot(seen: dict[str, Any]):
    assert "a child process of a container can't call functions" in seen["child calls"]
    assert seen["forked"][0].startswith("ExecutionError: a child process of a container can't call functions")
    assert seen["forked"][1] == 3


def test_user_code_has_the_main_thread_and_its_signals(seen: dict[str, Any]):
    assert seen["signals"] == ["SIGUSR1", "SIGALRM", False, True]


def test_a_container_outlives_the_end_of_its_streams(seen: dict[str, Any]):
    assert seen["without streams"] == [2, 2]


def test_a_process_left_behind_keeps_nothing_waiting(seen: dict[str, Any]):
    assert seen["bare"] == 1


def test_a_forked_process_at_home_calls_by_a_connection_of_its_own(seen: dict[str, Any]):
    assert seen["forked at home"] == [1, 2, 3, 4]
