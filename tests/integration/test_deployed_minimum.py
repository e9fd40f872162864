"""A deployed app's containers are there again whatever ends: the worker, the server, the version, the containers."""

from __future__ import annotations

import json
import os
import signal
import time
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import containers as processes
from tests.integration.processes import gone, server_of, worker_of
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

KEPT = """
    import modal

    app = modal.App("kept")

    @app.function(min_containers=2, scaledown_window=2)
    def f():
        return {version}

    @app.function()
    def fails():
        raise ValueError("in version {version}")

    @app.cls(min_containers=1, max_containers=1)
    class Model:
        @modal.method()
        def g(self):
            return {version}
"""
WANTED = {"f": 2, "Model": 1}


def deploy(home: Home, folder: Path, version: int) -> None:
    write(folder, "kept.py", KEPT.replace("{version}", str(version)))
    done = home.ionian("deploy", "kept.py", cwd=folder)
    assert done.returncode == 0, done.stdout


def failing_input(home: Home, folder: Path) -> str:
    """Calls what fails; returns the id of its input."""
    write(
        folder,
        "failing.py",
        """
        import modal
        modal.Function.from_name("kept", "fails").remote()
    """,
    )
    done = home.ionian("python", "-q", "failing.py", cwd=folder)
    return done.stdout.rpartition("ionian replay ")[2].strip()


def until_there(home: Home, *, version: str, besides: set[str] | None = None) -> set[str]:
    """Waits until the minimum is ready in a version, of containers that are new, and nothing else is there."""
    deadline = time.monotonic() + 60
    while True:
        rows = json.loads(home.ionian("container", "list", "--app", "kept", "--json").stdout)
        ids = {row["Container ID"] for row in rows}
        found = {tag: sum(row["Function"] == tag for row in rows) for tag in WANTED}
        states = {(row["State"], row["Version"]) for row in rows}
        if found == WANTED and states == {("ready", version)} and not ids & (besides or set()):
            return ids
        assert time.monotonic() < deadline, rows


def test_the_minimum_of_a_deployed_app_is_held_over_kills_restarts_and_deploys(tmp_path: Path) -> None:
    with new_home() as home:
        deploy(home, tmp_path, 1)
        first = until_there(home, version="v1")

        os.kill(server_of(home), signal.SIGKILL)
        assert until_there(home, version="v1") == first

        failed = failing_input(home, tmp_path)
        before = processes(home)
        os.kill(worker_of(home), signal.SIGKILL)
        assert gone(before, 30) == set()
        second = until_there(home, version="v1", besides=first)

        deploy(home, tmp_path, 2)
        third = until_there(home, version="v2", besides=second)

        before = processes(home)
        assert home.ionian("server", "stop").returncode == 0
        assert gone(before, 30) == set()
        done = home.ionian(
            "replay", "--no-debug", failed
        )  # the command starts the server, and a worker with it
        assert done.returncode == 1
        assert done.stdout.rstrip().endswith("ValueError: in version 1")
        fourth = until_there(home, version="v2", besides=third)

        worker, before = worker_of(home), processes(home)
        os.kill(server_of(home), signal.SIGKILL)
        os.kill(worker, signal.SIGKILL)
        assert gone(before, 30) == set()
        until_there(home, version="v2", besides=fourth)

        assert home.ionian("app", "stop", "kept", "-y").returncode == 0
        assert home.ionian("container", "list").stdout == "No container is there, and none is wanted.\n"
