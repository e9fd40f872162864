"""What apps and functions did, asked for in the terminal, and over a kill -9 of the server."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import server_of
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

APP = """
    import modal

    app = modal.App("counted")

    @app.function(max_containers=1, cpu=0.5)
    def half(n):
        return n / (n != 13)
"""

WAITING = """
    import time
    import modal

    app = modal.App("waiting")

    @app.function(max_containers=1, timeout=3600)
    def waits(n):
        time.sleep(3600 if n else 0)
"""

CANCELS = """
    import modal

    waits = modal.Function.from_name("waiting", "waits")

    def begun(count):
        call = waits.spawn_map([0, *range(1, count)])
        call.get(index=0)  # that one has ended, another runs, and the others wait
        return call

    print(waits.hydrate().object_id)
    begun(5).cancel()
    begun(3).cancel(terminate_containers=True)
    print("cancelled", waits.stats().input_cancelled_count, flush=True)
    begun(4)
"""

CALLS = """
    import sys
    import modal

    half = modal.Function.from_name("counted", "half")
    found = list(half.map(range(int(sys.argv[1])), return_exceptions=True))
    print(sum(isinstance(one, Exception) for one in found), "failed")
"""


@pytest.fixture(scope="module")
def counted(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home of its own, as its server is killed, with the app deployed and called 20 times."""
    with new_home() as home:
        folder = tmp_path_factory.mktemp("counted")
        done = home.ionian("deploy", write(folder, "counted.py", APP))
        assert done.returncode == 0, done.stdout
        call(home, folder, 20)
        yield home


def call(home: Home, folder: Path, times: int) -> None:
    done = home.ionian("python", "-q", write(folder, "calls.py", CALLS), str(times))
    assert done.stdout.splitlines()[-1:] == ["1 failed"], done.stdout


def told(home: Home, *arguments: str) -> dict[str, Any]:
    done = home.ionian(*arguments, "--json")
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def ended(home: Home) -> tuple[int, int]:
    """How many inputs succeeded and failed."""
    stats = told(home, "function", "stats", "counted/half")
    return stats["input_success_count"], stats["input_failure_count"]


def test_a_function_and_its_app_show_what_they_did(counted: Home) -> None:
    assert ended(counted) == (19, 1)
    stats = told(counted, "app", "stats", "counted", "--since", "2h")
    assert stats["functions"]["total"]["calls"] == {
        "total": 20,
        "succeeded": 19,
        "failed": 1,
        "cancelled": 0,
    }
    shown = counted.ionian("function", "stats", "counted/half").stdout
    assert "Inputs that succeeded:" in shown
    assert "Execution time (s)" in shown
    assert "half" in counted.ionian("app", "stats", "counted").stdout


def test_a_function_and_its_app_show_what_they_are(counted: Home) -> None:
    app = told(counted, "app", "info", "counted")
    assert (app["description"], app["lifecycle"]["state"], app["lifecycle"]["version"]) == (
        "counted",
        "deployed",
        1,
    )
    function = told(counted, "function", "info", app["functions"]["half"])
    assert (function["cpu"], function["max_containers"]) == (0.5, 1)
    assert "half" in counted.ionian("app", "info", "counted").stdout
    assert "Cores:" in counted.ionian("function", "info", "counted/half").stdout
    refused = counted.ionian("function", "info", "counted/third")
    assert (refused.returncode, "it has: half" in refused.stdout) == (1, True), refused.stdout


def test_what_one_container_did_is_told_while_it_is_there_and_after(counted: Home, tmp_path: Path) -> None:
    app = """
        import os
        import modal

        app = modal.App("placed")

        @app.function(retries=modal.Retries(max_retries=1, initial_delay=0.0))
        def where(n):
            return os.environ["MODAL_TASK_ID"] if n != 2 else 1 / 0
    """
    calls = """
        import modal

        where = modal.Function.from_name("placed", "where")
        where.update_autoscaler(max_containers=1)
        found = list(where.map(range(4), return_exceptions=True))
        print(*{one for one in found if isinstance(one, str)})
    """
    assert counted.ionian("deploy", write(tmp_path, "placed.py", app)).returncode == 0
    container = counted.ionian("python", "-q", write(tmp_path, "calls.py", calls)).stdout.split()[-1]
    command = ("function", "stats", "placed/where", "--container", container)

    def counts() -> tuple[int, ...]:
        stats = told(counted, *command)
        names = (
            "input_success_count",
            "input_failure_count",
            "container_total_count",
            "container_started_count",
        )
        return tuple(stats[name] for name in names)

    assert counts() == (3, 2, 1, 1)
    assert counted.ionian("app", "stop", "--yes", "placed").returncode == 0
    function_id = told(counted, "app", "info", "placed")["functions"]["where"]
    command = ("function", "stats", function_id, "--container", container)
    assert counts() == (3, 2, 1, 1)
    refused = counted.ionian("function", "stats", "counted/half", "--container", container)
    assert (refused.returncode, "had, no" in refused.stdout) == (1, True), refused.stdout


def test_a_functions_series_are_exported_step_by_step(counted: Home) -> None:
    shown = counted.ionian("function", "metrics", "counted/half")
    assert "successful_calls_count" in shown.stdout, shown.stdout
    command = (
        "function",
        "metrics",
        "counted/half",
        "--group",
        "calls",
        "--since",
        "1d",
        "--bucket-size",
        "1h",
    )
    series = json.loads(counted.ionian(*command, "--json").stdout)
    assert (series["bucket_secs"], len(series["series"][0]["points"])) == (3600, 24)
    lines = counted.ionian(*command, "--csv").stdout.splitlines()
    assert (lines[0], len(lines)) == ("series_name,unit,time,value", 1 + 24 * len(series["series"]))
    refused = counted.ionian("function", "metrics", "counted/half", "--group", "gpu", "--csv")
    assert (refused.returncode, "'calls', 'containers'" in refused.stdout) == (1, True), refused.stdout


def test_the_variants_of_a_function_are_listed(counted: Home, tmp_path: Path) -> None:
    varied = """
        import modal

        half = modal.Function.from_name("counted", "half")
        slow = half.with_options(timeout=77, memory=300, env={"TOKEN": "hidden"}).with_concurrency(max_inputs=3)
        slow.hydrate()
        print(slow.object_id)
    """
    variant = counted.ionian("python", "-q", write(tmp_path, "varied.py", varied)).stdout.strip()
    for named in ("counted/half", variant):
        (found,) = json.loads(counted.ionian("function", "variants", named, "--json").stdout)
        options = {"memory": 300, "timeout": 77, "max_inputs": 3, "env": ["TOKEN"]}
        assert found == {"function_id": variant, "options": options, "containers": 0}
    assert "timeout=77" in counted.ionian("function", "variants", "counted/half").stdout


def test_the_calls_of_a_function_are_listed(counted: Home, tmp_path: Path) -> None:
    spawn = """
        import modal

        half = modal.Function.from_name("counted", "half")
        print(*[call.object_id for call in [half.spawn(n) for n in range(3)] if call.get() is not None])
    """
    done = counted.ionian("python", "-q", write(tmp_path, "spawned.py", spawn))
    ids = done.stdout.split()
    listed = json.loads(counted.ionian("function", "calls", "counted/half", "--json").stdout)
    assert [row["Call ID"] for row in listed] == ids[::-1], done.stdout
    assert {(row["Function"], row["Status"], row["Inputs Done"]) for row in listed} == {
        ("half", "done", "1 of 1")
    }
    newest = json.loads(counted.ionian("function", "calls", "counted/half", "-n", "1", "--json").stdout)
    assert [row["Call ID"] for row in newest] == ids[-1:]
    since = json.loads(counted.ionian("function", "calls", "counted/half", "--since", "1h", "--json").stdout)
    assert [row["Call ID"] for row in since] == ids
    refused = counted.ionian("function", "calls", "counted/half", "-n", "1", "--since", "1h")
    assert (refused.returncode, "give one of both" in refused.stdout) == (2, True), refused.stdout


def test_inputs_that_end_with_their_call_or_their_app_are_cancelled(counted: Home, tmp_path: Path) -> None:
    assert counted.ionian("deploy", write(tmp_path, "waiting.py", WAITING)).returncode == 0
    done = counted.ionian("python", "-q", write(tmp_path, "cancels.py", CANCELS))
    function_id, *rest = done.stdout.splitlines()
    assert rest == ["cancelled 6"], done.stdout
    assert counted.ionian("app", "stop", "--yes", "waiting").returncode == 0
    stats = told(counted, "function", "stats", function_id)
    assert (stats["input_success_count"], stats["input_cancelled_count"]) == (3, 9)
    assert (stats["input_failure_count"], stats["input_running_at_end_count"]) == (0, 0)
    assert "Inputs that were cancelled:" in counted.ionian("function", "stats", function_id).stdout


def test_the_autoscaler_is_set_in_the_terminal(counted: Home) -> None:
    done = counted.ionian("function", "autoscaler", "update", "counted/half", "--scaledown-window", "30")
    assert done.returncode == 0, done.stdout
    settings = told(counted, "function", "autoscaler", "settings", "counted/half")["current_settings"]
    assert (settings["scaledown_window"], settings["max_containers"]) == (30, 1)
    refused = counted.ionian("function", "autoscaler", "update", "counted/half")
    assert (refused.returncode, "expected one of" in refused.stdout) == (2, True), refused.stdout


def test_what_was_counted_survives_a_server_that_is_killed(counted: Home, tmp_path: Path) -> None:
    """Nobody asks for the counts before: they are written by themselves."""
    succeeded, failed = ended(counted)
    call(counted, tmp_path, 30)
    rows = "SELECT coalesce(sum(succeeded), 0) FROM function_minutes WHERE app_id <> ''"
    until = time.monotonic() + 60
    with sqlite3.connect(f"file:{counted.folder}/state.db?mode=ro", uri=True, timeout=30) as database:
        while database.execute(rows).fetchone()[0] < succeeded + 29:
            assert time.monotonic() < until, "the counts were not written by themselves"
            time.sleep(0.1)
    os.kill(server_of(counted), signal.SIGKILL)
    call(counted, tmp_path, 14)
    assert ended(counted) == (succeeded + 29 + 13, failed + 2)
