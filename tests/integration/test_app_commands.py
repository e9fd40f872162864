"""`ionian app` and `ionian container` on a deployed app with real containers."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import running, server_of
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

SHOP = """
    import time
    import modal

    app = modal.App("shop")

    @app.function(min_containers=1, max_containers=1)
    def stays():
        return {version}
"""

FULL = """
    import time
    import modal

    app = modal.App("full")

    @app.function(max_containers=1)
    def slow(n):
        print("slow begins", n, flush=True)
        try:
            time.sleep(600)
        finally:
            print("slow cleans up", n, flush=True)

    @app.local_entrypoint()
    def main():
        list(slow.map(range(3)))
"""


ENDED = """
    import modal

    app = modal.App("full")

    @app.local_entrypoint()
    def main(): ...
"""


@pytest.fixture(scope="module")
def lone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home of its own with the app deployed twice."""
    with new_home() as home:
        folder = tmp_path_factory.mktemp("shop")
        for version in (1, 2):
            write(folder, "shop.py", SHOP.replace("{version}", str(version)))
            done = home.ionian("deploy", "shop.py", "--tag", f"release-{version}", cwd=folder)
            assert done.returncode == 0, done.stdout
        yield home


@pytest.fixture(scope="module")
def with_ended(lone: Home, tmp_path_factory: pytest.TempPathFactory) -> Home:
    """The same with another app, which has ended, whatever ran before."""
    done = lone.ionian("run", "-q", write(tmp_path_factory.mktemp("ended"), "ended.py", ENDED))
    assert done.returncode == 0, done.stdout
    return lone


def rows(home: Home, *arguments: str) -> list[dict[str, str]]:
    """A list as JSON."""
    done = home.ionian(*arguments, "--json")
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def containers(home: Home, app: str, state: str = "") -> list[dict[str, str]]:
    """The containers of an app, or those in a state."""
    found = rows(home, "container", "list", "--app", app)
    return [row for row in found if state in ("", row["State"])]


def started(row: dict[str, str]) -> float:
    """When a container was started."""
    return datetime.fromisoformat(row["Start Time"]).timestamp()


def until_ready(home: Home, besides: str = "") -> str:
    """The container of `stays`, once it is ready: another than this one."""
    while True:  # the time limit of the test ends it
        ready = [row["Container ID"] for row in containers(home, "shop", "ready")]
        if ready and besides not in ready:
            return ready[0]


def test_a_deployed_app_is_listed_with_its_version_and_containers(lone: Home) -> None:
    until_ready(lone)
    (row,) = rows(lone, "app", "list")
    assert (row["Description"], row["State"], row["Version"]) == ("shop", "deployed", "v2")
    text = lone.ionian("app", "list").stdout.splitlines()
    assert text[0].split("  ")[0] == "App ID"
    assert "Next run" not in text[0]  # no schedule, no column
    assert len(text) == 2


def test_its_versions_are_listed_and_one_is_brought_back(lone: Home) -> None:
    history = rows(lone, "app", "history", "shop")
    assert [(row["Version"], row["Tag"]) for row in history] == [("v2", "release-2"), ("v1", "release-1")]
    done = lone.ionian("app", "rollback", "shop")
    assert done.stdout == "✓ Deployment rollback successful! v3 of shop is v1 again.\n"
    assert rows(lone, "app", "history", "shop")[0]["Brings back"] == "v1"
    done = lone.ionian("app", "rollback", "shop", "v7")
    assert (done.returncode, done.stdout) == (1, "Error: app shop has no version v7; it has v1 to v3\n")
    done = lone.ionian("app", "rollback", "shop", "newest")
    assert done.returncode == 2
    assert "VERSION: expected a version such as v3, got 'newest'" in done.stdout


def test_a_rollover_replaces_containers(lone: Home) -> None:
    before = until_ready(lone)
    assert "completed in" in lone.ionian("app", "rollover", "shop").stdout
    assert until_ready(lone, besides=before) != before


@pytest.mark.parametrize("graceful", [False, True])
def test_a_container_that_is_stopped_by_hand_is_replaced(lone: Home, graceful: bool) -> None:
    before = until_ready(lone)
    done = lone.ionian("container", "stop", before, "--yes", *(["--graceful"] if graceful else []))
    assert done.returncode == 0, done.stdout
    assert until_ready(lone, besides=before) != before


def test_nothing_is_stopped_where_nobody_was_asked(lone: Home) -> None:
    for arguments in (("app", "stop", "shop"), ("container", "stop", until_ready(lone))):
        done = lone.ionian(*arguments)
        assert done.returncode == 2
        assert "Say --yes where nobody can be asked." in done.stdout


def test_inputs_that_wait_are_listed_with_the_reason_and_run_elsewhere_when_theirs_is_stopped(
    lone: Home, tmp_path: Path
) -> None:
    write(tmp_path, "full.py", FULL)
    with running(lone, "run", "full.py", cwd=tmp_path) as run:
        run.until("slow begins 0")
        (wanted,) = containers(lone, "full", "wanted")
        assert wanted["Start Time"] == "Pending"
        assert "max_containers=1" in wanted["Reason"]
        (busy,) = containers(lone, "full", "ready")
        assert lone.ionian("container", "stop", busy["Container ID"], "-y").returncode == 0
        run.until("slow cleans up 0")
        run.until("slow begins 0")
        (other,) = containers(lone, "full", "ready")
        assert other["Container ID"] != busy["Container ID"]
        run.signal(signal.SIGINT)
        assert run.end() == 130


def test_a_spawned_call_says_why_it_has_no_result_yet(lone: Home, tmp_path: Path) -> None:
    text = FULL.replace("list(slow.map(range(3)))", "print(slow.spawn_map([1, 2]).object_id, flush=True)")
    write(tmp_path, "full.py", text + "        time.sleep(600)\n")
    with running(lone, "run", "-q", "full.py", cwd=tmp_path) as run:
        call = run.until("fc-").split("fc-")[1].strip()
        run.until("slow begins 1")
        done = lone.ionian("call", "why", f"fc-{call}")
        assert done.returncode == 0, done.stdout
        assert "0 of 2 inputs done" in done.stdout
        states = {row["State"]: row for row in rows(lone, "call", "why", f"fc-{call}")}
        assert set(states) == {"running", "waiting"}
        assert states["running"]["First"] == f"in-{call}:0"
        assert "max_containers=1" in states["waiting"]["Reason"]
        (row,) = rows(lone, "call", "list", "--app", "full", "--function", "slow", "--status", "pending")
        assert (row["Call ID"], row["Inputs Done"], row["Finished at"]) == (f"fc-{call}", "0 of 2", "")
        assert row["Caller"].startswith("cl-")
        run.signal(signal.SIGINT)
        assert run.end() == 130
    (row,) = rows(lone, "call", "list", "--limit", "1")
    assert (row["Call ID"], row["Status"]) == (f"fc-{call}", "cancelled")
    done = lone.ionian("call", "list", "--function", "nothing")
    assert done.stdout == "There is no such call.\n"
    done = lone.ionian("call", "why", "fc-nothing")
    assert done.returncode == 1
    assert "got 'fc-nothing'" in done.stdout


def test_a_deployed_app_survives_its_server(lone: Home) -> None:
    before = until_ready(lone)
    (info,) = containers(lone, "shop", "ready")
    os.kill(server_of(lone), signal.SIGKILL)
    assert lone.ionian("container", "exec", before, "echo", "still here").stdout == "still here\n"
    os.kill(server_of(lone), signal.SIGKILL)
    (listed,) = containers(lone, "shop")
    assert listed["Container ID"] == before
    os.kill(server_of(lone), signal.SIGKILL)
    (row,) = [row for row in rows(lone, "app", "list") if row["Description"] == "shop"]
    assert row["State"] == "deployed"
    assert until_ready(lone) == before  # it was not started anew
    (again,) = containers(lone, "shop", "ready")
    assert again["Version"] == info["Version"]
    assert abs(started(again) - started(info)) < 5


@pytest.mark.parametrize("command", ["stop", "history", "rollback", "rollover", "logs"])
def test_an_unknown_app_is_answered_with_those_that_are_there(with_ended: Home, command: str) -> None:
    done = with_ended.ionian("app", command, "shopp")
    assert done.returncode == 1
    assert "there is no app 'shopp' in environment 'main'; there are: full, shop" in done.stdout


def test_a_stopped_app_is_listed_as_such_and_can_not_be_rolled_back(lone: Home) -> None:
    done = lone.ionian("app", "stop", "shop", "-y")
    assert done.stdout.startswith("✓ Stopped app shop (ap-")
    assert containers(lone, "shop") == []
    (row,) = [row for row in rows(lone, "app", "list") if row["Description"] == "shop"]
    assert (row["State"], row["Containers"]) == ("stopped", "0")
    for arguments in (("stop", "shop", "-y"), ("rollback", "shop"), ("rollover", "shop")):
        done = lone.ionian("app", *arguments)
        assert done.returncode == 1
        assert "stopped" in done.stdout
