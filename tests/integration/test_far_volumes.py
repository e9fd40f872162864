"""A volume on machines that do not see the server's disk (programs/far_volumes.py): commit and reload."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.integration.machines import Machines, machines
from tests.integration.seen import PROGRAMS

pytestmark = [pytest.mark.container, pytest.mark.timeout(400)]


@pytest.fixture(scope="module")
def far(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Machines]:
    folder: Path = tmp_path_factory.mktemp("machines")
    with machines(folder) as made:
        yield made


@pytest.fixture(scope="module")
def seen(far: Machines) -> dict[str, Any]:
    done = far.home.ionian("run", "-q", PROGRAMS / "far_volumes.py", timeout_s=300)
    assert done.returncode == 0, done.stdout + far.said()
    return json.loads(done.stdout.splitlines()[-1])


def test_each_machine_has_a_copy_of_its_own(seen: dict[str, Any]) -> None:
    one, two = seen["where"]
    assert one != two
    assert all("/working/vo-" in where for where in seen["where"])


def test_a_container_that_starts_has_the_newest_version(seen: dict[str, Any]) -> None:
    assert seen["at their start"] == [{"from/client": "client"}] * 2


def test_what_one_machine_commits_others_see_when_they_reload_and_clients_at_once(
    seen: dict[str, Any],
) -> None:
    assert seen["before reload"] is False
    assert seen["after reload"] == seen["client"] == {"from/a": "a", "from/client": "client"}


def test_writers_of_different_files_never_lose_each_others(seen: dict[str, Any]) -> None:
    theirs = {"mine/a": "a", "mine/b": "b", "mine/c": "c"}
    assert seen["both"] == [{"from/a": "a", "from/client": "client", **theirs}] * 2


def test_of_two_who_write_one_file_the_last_wins_and_the_servers_log_says_so(
    seen: dict[str, Any], far: Machines
) -> None:
    assert seen["same"] == ["b", "b", "b"]
    assert "that others had changed meanwhile, one is 'same'" in far.said()


def test_a_deleted_file_goes_everywhere(seen: dict[str, Any]) -> None:
    assert seen["removed"] is False


def test_a_reload_with_open_files_names_file_and_process(seen: dict[str, Any]) -> None:
    assert "there are open files preventing the operation: /data/from/a is open in" in seen["open"]


def test_what_was_written_is_committed_every_few_seconds(seen: dict[str, Any]) -> None:
    assert seen["later"] == "without a commit"


def test_what_a_client_uploads_comes_with_the_next_reload(seen: dict[str, Any]) -> None:
    assert seen["uploaded"] == "client again"
