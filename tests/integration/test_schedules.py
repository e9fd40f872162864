"""Deployed functions run by themselves, in real containers, also when the server was killed meanwhile."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import running
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

TICKER = """
    import modal

    app = modal.App("ticker")

    @app.function(schedule=modal.Period(seconds=2))
    def tick():
        print("tick")

    @app.function(schedule=modal.Cron("0 6 * * *", timezone="Europe/Berlin"))
    def daily():
        print("daily")
"""


@pytest.fixture(scope="module")
def lone() -> Iterator[Home]:
    """A home of its own: its server is killed."""
    with new_home() as home:
        yield home


def server_of(home: Home) -> int:
    """The process of the server."""
    return json.loads((home.folder / "run" / "server.json").read_text())["pid"]


def listed(home: Home, name: str) -> dict[str, str]:
    """The row of an app."""
    rows = json.loads(home.ionian("app", "list", "--json").stdout)
    return next(row for row in rows if row["Description"] == name)


def test_a_function_runs_by_itself_again_and_again_until_its_app_is_stopped(lone: Home, tmp_path: Path):
    write(tmp_path, "ticker.py", TICKER)
    done = lone.ionian("deploy", "ticker.py", cwd=tmp_path)
    assert done.returncode == 0, done.stdout
    assert listed(lone, "ticker")["Next run"] != ""
    with running(lone, "app", "logs", "ticker", "-f", cwd=tmp_path) as followed:
        for _ in range(2):
            followed.until("tick")

        due = datetime.fromisoformat(listed(lone, "ticker")["Next run"]).timestamp()
        os.kill(server_of(lone), signal.SIGKILL)
        while time.time() < due + 3:  # over one moment at which it is due, or two
            time.sleep(0.1)
        assert lone.ionian("app", "list").returncode == 0  # starts the server again
        for _ in range(2):
            followed.until("tick")

        assert lone.ionian("app", "stop", "ticker", "--yes").returncode == 0
        assert followed.end() == 0, followed.text
    assert listed(lone, "ticker")["Next run"] == ""
    ticks = lone.ionian("app", "logs", "ticker", "--since", "1h").stdout.splitlines()
    assert set(ticks) == {"tick"}  # and `daily` did not run
    log = (lone.folder / "logs" / "server.log").read_text()
    calls = [line.rpartition("call=")[2] for line in log.splitlines() if "scheduled function=tick" in line]
    assert len(ticks) <= len(set(calls)), log


def test_a_schedule_from_which_no_time_follows_is_refused_at_the_deploy(lone: Home, tmp_path: Path):
    write(tmp_path, "never.py", TICKER.replace("0 6 * * *", "0 6 31 2 *"))
    done = lone.ionian("deploy", "never.py", cwd=tmp_path)
    assert done.returncode == 1
    assert "function 'daily', schedule: cron_string: Bad day-of-month in '0 6 31 2 *'" in done.stdout
