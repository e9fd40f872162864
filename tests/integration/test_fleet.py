"""Several containers, clients and workers: what starts, what ends, what runs at once."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
from tests.homes import IONIAN, Home, cache_folder
from tests.integration.seen import PROGRAMS, seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "scaling.py")[0]


def test_there_are_never_more_containers_than_the_cap(seen: dict[str, Any]):
    assert seen["capped"] == [3, 3]


def test_an_idle_container_ends_and_the_next_call_starts_another(seen: dict[str, Any]):
    first, second, after = seen["idle"]
    assert first == second != after


def test_a_container_that_ends_idle_runs_its_exit_handlers(seen: dict[str, Any]):
    assert seen["goodbye"] is True


def test_a_single_use_container_runs_one_input(seen: dict[str, Any]):
    assert seen["single"] == 4


def test_min_containers_are_there(seen: dict[str, Any]):
    assert seen["kept"] == 2


def test_clients_at_once_each_get_their_own_results(home: Home):
    home.ionian("server", "start")
    clients = [
        subprocess.Popen(
            (IONIAN, "run", "-q", PROGRAMS / "tell.py", "--client", f"client{number}"),
            env=home.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        for number in range(3)
    ]
    assert [client.communicate(timeout=100)[0] for client in clients] == ["as expected\n"] * 3


def test_a_second_worker_takes_what_the_first_has_no_room_for(home: Home, tmp_path: Path):
    home.ionian("server", "start")
    url = json.loads((home.folder / "run" / "server.json").read_text())["url"]
    token = (home.folder / "run" / "worker.token").read_text().strip()
    (tmp_path / "images").symlink_to(cache_folder() / "images")
    worker = subprocess.Popen(
        (IONIAN, "worker", "--server", url, "--name", "second"),
        env={**home.environment, "IONIAN_HOME": str(tmp_path), "IONIAN_TOKEN": token},
        stdin=subprocess.DEVNULL,
    )
    try:
        done = home.ionian("run", "-q", PROGRAMS / "wide.py", timeout_s=280)
        assert done.stdout == "both at once\n"
    finally:
        worker.terminate()
        assert worker.wait(timeout=30) == 0


def test_a_script_may_be_asynchronous_all_through(home: Home):
    done = home.ionian("python", "-q", PROGRAMS / "async_script.py")
    assert done.returncode == 0, done.stdout
    assert done.stdout.splitlines() == ["8", "[0, 2, 4, 6, 8]", "[0, 2, 4, 6, 8]", "10", "again 2"]
