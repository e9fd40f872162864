"""Queues in real containers (programs/queues.py), and on the command line."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "queues.py")[0]


def test_who_waits_is_woken_by_what_comes_and_each_item_is_one_getters(seen: dict[str, Any]) -> None:
    assert seen["got"] == list(range(8))


def test_iterate_waits_for_the_next_item_and_takes_none(seen: dict[str, Any]) -> None:
    assert (seen["looked"], seen["followed"], seen["left"]) == (["a", "b"], "c", 3)


def test_an_item_is_not_lost_with_a_container_that_waited_for_it(seen: dict[str, Any]) -> None:
    assert seen["waited"] == "first"


def test_an_item_that_a_dead_container_had_not_confirmed_goes_back_to_the_front(seen: dict[str, Any]) -> None:
    assert seen["taken"] == 1
    assert seen["went back"] == ["second", "third"]


def test_an_item_is_not_lost_with_an_input_that_was_cancelled_while_it_waited(seen: dict[str, Any]) -> None:
    assert seen["cancelled"] == "Input was cancelled by user"
    assert seen["after the cancelled"] == "after the cancelled"


def test_an_item_is_not_lost_with_a_coroutine_that_gave_up(seen: dict[str, Any]) -> None:
    assert seen["gave up"] == ["kept", None]


def test_a_full_partition_is_refused_or_waited_for(seen: dict[str, Any]) -> None:
    assert seen["full"].startswith("a partition of Queue.from_id('qu-")
    assert seen["full"].endswith("is full: it has 100,000 items")
    assert seen["all of it"] == [0, 1, 2]
    assert seen["then"] == ["last"]


def test_items_of_any_size_pass(seen: dict[str, Any]) -> None:
    assert seen["sizes"] == [1, (2 << 20) + 1, 12 << 20]


# --- the command line


def ran(home: Home, *arguments: str) -> str:
    done = home.ionian("queue", *arguments)
    assert done.returncode == 0, done.stdout
    return done.stdout


def test_a_queue_is_seen_and_changed_on_the_command_line(home: Home) -> None:
    program = "import ionian; q = ionian.Queue.from_name('shown'); q.put_many(['a', 'b', 'c']); q.put(1, partition='p')"
    ran(home, "create", "shown")
    assert home.python("-c", program).returncode == 0
    (row,) = [row for row in json.loads(ran(home, "list", "--json")) if row["Name"] == "shown"]
    assert (row["Partitions"], row["Total size"]) == ("2", "4")
    assert ran(home, "peek", "shown") == "a\n"
    assert ran(home, "peek", "shown", "5") == "a\nb\nc\n"
    assert ran(home, "peek", "shown", "5", "-p", "p") == "1\n"
    assert [ran(home, "len", "shown", *more) for more in ((), ("-p", "p"), ("--total",))] == [
        "3\n",
        "1\n",
        "4\n",
    ]
    ran(home, "clear", "shown", "-p", "p", "--yes")
    assert ran(home, "len", "shown", "-t") == "3\n"
    ran(home, "clear", "shown", "--all", "--yes")
    assert ran(home, "len", "shown", "-t") == "0\n"
    both = home.ionian("queue", "len", "shown", "-t", "-p", "p")
    assert "expected None with total=True" in both.stdout
    ran(home, "delete", "shown", "--yes")
    assert "there is no queue 'shown'" in home.ionian("queue", "peek", "shown").stdout
