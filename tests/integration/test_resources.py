"""What a container has: variables, secrets, volumes, folders, limits (programs/resources.py)."""

from __future__ import annotations

import os
import secrets
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

HUSH = secrets.token_hex(12)


@pytest.fixture(scope="module")
def run(home: Home) -> tuple[dict[str, Any], str]:
    return seen_by(home, "resources.py", environment={"HUSH": HUSH})


@pytest.fixture(scope="module")
def seen(run: tuple[dict[str, Any], str]) -> dict[str, Any]:
    return run[0]


def test_variables_come_from_image_secrets_and_function_and_a_later_secret_wins(seen: dict[str, Any]):
    assert seen["inside"]["env"] == {
        "TOKEN": HUSH,
        "FIRST": "1",
        "BOTH": "function",
        "FROM_APP": "app",
        "OF_IMAGE": "image",
        "OF_FUNCTION": "yes",
        "HOME": "/root",
        "IONIAN_IS_REMOTE": "1",
    }


def test_child_processes_see_the_same_variables_and_folder(seen: dict[str, Any]):
    assert seen["inside"]["subprocess"] == f"{HUSH}\n/srv/work\n"


def test_a_secret_is_in_no_command_line_and_no_file_of_the_server(
    run: tuple[dict[str, Any], str], home: Home
):
    seen, _ = run
    assert seen["inside"]["token in argv"] == []
    found = [
        Path(base, name) for base, _, names in os.walk(home.folder) for name in names
    ]  # some may go meanwhile
    files = [path for path in found if path.is_file() and "images" not in path.parts]
    assert files
    assert [path for path in files if HUSH.encode() in _content(path)] == []


def test_a_container_is_where_its_image_says_with_nothing_to_read(seen: dict[str, Any]):
    inside = seen["inside"]
    assert inside["workdir"] == "/srv/work"
    assert inside["stdin"] == ""
    assert inside["python"] == [3, 11]
    assert inside["pid"] == 2
    assert inside["user"] == [0, True, True]
    assert inside["core"] == 0


def test_limits_of_memory_and_cores_hold(seen: dict[str, Any]):
    assert seen["inside"]["shared memory"] <= 512
    if os.geteuid() == 0:  # a plain user may write no cgroup here, and cores are then shared, not limited
        assert seen["inside"]["cores"] < 1.3


def test_two_containers_see_what_each_other_writes_to_a_volume(seen: dict[str, Any]):
    assert seen["volume"] == ["answer", "write"]


def test_what_a_container_writes_is_gone_with_it(seen: dict[str, Any]):
    assert seen["scratch"] == [64, True]
    assert seen["leftovers"] == []


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
