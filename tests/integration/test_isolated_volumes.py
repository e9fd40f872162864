"""Isolated volumes in real containers of one machine (programs/isolated.py)."""

from __future__ import annotations

import time
from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    made = home.ionian("volume", "create", "isolated", "--isolated")
    assert made.stdout == "✓ The volume isolated is there.\n"
    return seen_by(home, "isolated.py")[0]


def test_each_container_starts_with_the_newest_version_and_has_its_own_writes(seen: dict[str, Any]) -> None:
    assert seen["at the start"] == [{"client": "client"}] * 2
    assert seen["own"] == {"client": "client", "one": "a"}


def test_what_a_container_commits_another_of_its_machine_sees_when_it_reloads(seen: dict[str, Any]) -> None:
    before, kept = seen["committed"]
    assert before == {"client": "client"}
    assert sorted(kept) == ["client", "one", "two"]
    assert seen["reloaded"] == {"client": "client", "one": "a", "two": "a", "three": "b"}


def test_what_a_container_wrote_is_committed_at_its_end_and_others_start_with_it(
    seen: dict[str, Any],
) -> None:
    refused, *names = seen["looked"]
    assert "Read-only file system" in refused
    assert {"client", "one", "two", "four"} <= set(names)


def test_what_a_container_has_stays_and_is_committed_though_the_server_has_lost_older_content_of_it(
    seen: dict[str, Any],
) -> None:
    assert {"client", "one", "two", "four", "five"} <= set(seen["lost"])
    assert (seen["lost"]["four"], seen["lost"]["five"]) == ("at its end", "a")


def test_a_volume_that_is_there_does_not_become_isolated(home: Home) -> None:
    home.ionian("volume", "create", "plain")
    told = home.ionian("volume", "create", "plain", "--isolated")
    assert told.returncode == 1
    assert "there is a volume 'plain' in environment 'main' already that is not isolated" in told.stdout


def test_nothing_of_the_copies_is_left_when_the_containers_have_ended(
    seen: dict[str, Any], home: Home
) -> None:
    del seen
    while left := list(home.folder.glob("workers/*/working/*/own/*")):
        assert all(folder.name.startswith("ta-") for folder in left)
        time.sleep(0.05)
