"""What was used and what it costs: metered in real containers, over kills of the server and the worker."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import server_of, worker_of
from tests.integration.test_command_line import write

pytestmark = [pytest.mark.container, pytest.mark.timeout(300), pytest.mark.xdist_group("usage")]

PRICES = """
currency = "EUR"

[per_hour]
cpu_core = 36.0
memory_gib = 3.6
"""

METERED = """
    import time
    import modal

    app = modal.App("metered")

    @app.function(cpu=0.25, memory=512, max_containers=1)
    def wait(seconds):
        time.sleep(seconds)

    @app.function(cpu=0.25)
    def items():
        for number in range(8):
            time.sleep(0.5)
            yield number

    @app.local_entrypoint()
    def main():
        list(wait.map([1.0, 1.0]))
        list(items.remote_gen())
"""

MEASURES = ("container_s", "cpu_core_s", "memory_gib_s", "used_cpu_core_s", "used_memory_gib_s", "cost")

STAYS = """
    import modal

    app = modal.App("stays")

    @app.function(min_containers=1, cpu=0.25)
    def stay():
        pass
"""


DEAR = """
    import modal

    app = modal.App("dear", budget={budget})

    @app.function(cpu=1.0)
    def work():
        return "done"
"""

CALLS = """
    import sys, time
    import modal

    work = modal.Function.from_name("dear", "work")
    wanted, until = sys.argv[1], time.monotonic() + 100
    while time.monotonic() < until:
        try:
            said = work.remote()
        except modal.exception.ResourceExhaustedError as error:
            said = f"refused: {error}"
        if said.startswith(wanted):
            print(said)
            break
        time.sleep(0.2)
"""


@pytest.fixture(scope="module")
def priced() -> Iterator[Home]:
    """A home of its own, as its server and worker are killed: a core costs a cent a second."""
    with new_home() as home:
        (home.folder / "prices.toml").write_text(PRICES)
        (home.folder / "ionian.toml").write_text('[default]\nidle_warning = "1s"\n')
        yield home


@pytest.fixture(scope="module")
def ran(priced: Home, tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the run of a program said that used something."""
    done = priced.ionian("run", write(tmp_path_factory.mktemp("ran"), "metered.py", METERED))
    assert done.returncode == 0, done.stdout
    until(lambda: len(containers(priced, "metered")) >= 2, "its containers were not metered")
    return done.stdout


def usage(home: Home, *arguments: str) -> list[dict[str, Any]]:
    done = home.ionian("usage", "--json", *arguments)
    assert done.returncode == 0, done.stdout
    return json.loads(done.stdout)


def containers(home: Home, app: str) -> list[dict[str, Any]]:
    rows = usage(home, "--by", "container", "--app", app)
    return [row for row in rows if row["container"].startswith("ta-")]


def until(what: Callable[[], bool], said: str) -> None:
    end = time.monotonic() + 120
    while not what():
        assert time.monotonic() < end, said
        time.sleep(0.2)


def total(rows: list[dict[str, Any]], name: str) -> float:
    return sum(row[name] for row in rows)


def test_a_run_ends_with_its_cost_and_its_lines_add_up_to_its_containers(priced: Home, ran: str) -> None:
    last = ran.splitlines()[-1]
    assert last.startswith("✓ App finished"), last
    assert last.endswith(" EUR"), last
    lines = {row["line"]: row for row in usage(priced, "--by", "line")}
    assert lines["calls"]["container_s"] >= 2.0
    assert lines["startup"]["container_s"] > 0
    assert lines["idle"]["container_s"] > 0
    assert lines.keys() <= {"calls", "startup", "idle", "templates", "builds"}
    until(
        lambda: adds_up(priced), "the lines do not add up to the containers"
    )  # a template may be metered between two looks
    lines = {row["line"]: row for row in usage(priced, "--by", "line")}
    calls = usage(priced, "--by", "call")
    assert {"wait", "items"} <= {row["function_name"] for row in calls}
    for name in MEASURES:
        assert total(calls, name) == pytest.approx(lines["calls"][name], rel=1e-3), name


BUILT = """
    import modal

    busy = "import time; [None for _ in iter(lambda: time.process_time() < 1, False)]"
    image = modal.Image.debian_slim().run_commands("echo {token}", f"python -c '{{busy}}'")
    app = modal.App("built", image=image)

    @app.function()
    def work():
        pass

    @app.local_entrypoint()
    def main():
        work.remote()
"""


def test_what_a_build_used_is_a_line_of_the_app_that_asked_for_it(priced: Home, tmp_path: Path) -> None:
    done = priced.ionian("run", write(tmp_path, "built.py", BUILT.format(token=token_hex(8))))
    assert done.returncode == 0, done.stdout
    of_app = ("--app", "built")
    until(
        lambda: any(row["line"] == "startup" for row in usage(priced, "--by", "line", *of_app)),
        "was not metered",
    )
    lines = {row["line"]: row for row in usage(priced, "--by", "line", *of_app)}
    assert lines["builds"]["used_cpu_core_s"] >= 0.9
    assert lines["builds"]["used_memory_gib_s"] > 0
    assert lines["builds"]["cost"] >= 0.009
    (build,) = [
        row for row in usage(priced, "--by", "container", *of_app) if row["container"].startswith("im-")
    ]
    for name in MEASURES:
        assert build[name] == pytest.approx(lines["builds"][name], rel=1e-3), name
    functions = {row["function_name"] for row in usage(priced, "--by", "function", *of_app)}
    assert functions == {"work", "image builds"}
    until(lambda: adds_up(priced), "the lines do not add up to the containers and builds")
    done = priced.ionian("run", tmp_path / "built.py")
    assert done.returncode == 0, done.stdout
    again = {row["line"]: row for row in usage(priced, "--by", "line", *of_app)}
    assert again["builds"] == lines["builds"], "what is there already was charged again"


def adds_up(home: Home) -> bool:
    lines, containers = usage(home, "--by", "line"), usage(home, "--by", "container")
    return all(total(lines, name) == pytest.approx(total(containers, name), rel=1e-3) for name in MEASURES)


BILLED = """
    from datetime import datetime, timedelta, timezone
    import modal

    billing = modal.Environment.from_name("main").billing
    now = datetime.now(timezone.utc)
    day = timedelta(days=1)
    items = billing.report(start=now - day, end=now + day, tag_names=["*"])
    items = [item for item in items if item.description == "metered"]
    print(*{(item.description, item["environment_name"], *sorted(item.cost_by_resource)) for item in items})
    summary = billing.summary()
    print(sum(item.cost for item in items) > 0, summary.start.day, sorted(summary.metered_cost_breakdown))
"""


def test_an_environment_says_what_its_apps_cost(priced: Home, ran: str, tmp_path: Path) -> None:
    done = priced.ionian("python", "-q", write(tmp_path, "billed.py", BILLED))
    assert done.stdout.splitlines() == [
        "('metered', 'main', 'CPU', 'Memory')",
        "True 1 ['CPU', 'Memory']",
    ], done.stdout
    report = ("billing", "report", "--for", "this month")
    rows = json.loads(priced.ionian(*report, "--json").stdout)
    assert ("metered", "main") in {(row["description"], row["environment"]) for row in rows}
    of_main = priced.ionian(
        "environment", *report[:2], "main", *report[2:], "--show-resources", "--csv"
    ).stdout
    assert of_main.splitlines()[0] == "Object ID,Description,Environment,Interval Start,Resource,Cost"
    assert ",CPU," in of_main
    assert "36 EUR" in priced.ionian("billing", "rates").stdout
    whole = json.loads(priced.ionian("billing", "summary", "--json").stdout)
    assert float(whole["metered_cost"]) > 0
    refused = priced.ionian("billing", "report")
    assert (refused.returncode, "say of which time" in refused.stdout) == (2, True), refused.stdout


def test_what_was_kept_free_is_charged_where_less_was_used(priced: Home, ran: str) -> None:
    for row in containers(priced, "metered"):
        gib = 0.5 if row["function_name"] == "wait" else 0.125
        assert row["cpu_core_s"] >= 0.99 * 0.25 * row["container_s"]
        assert row["memory_gib_s"] >= 0.99 * gib * row["container_s"]
        assert row["cpu_core_s"] >= row["used_cpu_core_s"]
        assert row["cost"] == pytest.approx(0.01 * row["cpu_core_s"] + 0.001 * row["memory_gib_s"])


def test_usage_is_shown_as_a_table_and_as_csv(priced: Home, ran: str) -> None:
    shown = priced.ionian("usage").stdout
    assert shown.splitlines()[0].split() == (
        ["Environment", "App", "Container", "hours", "Core", "hours", "GiB", "hours", "Cost"]
    )
    assert "main" in shown
    assert "metered" in shown
    heading, *rows = priced.ionian("usage", "--by", "day", "--by", "app", "--csv").stdout.splitlines()
    assert heading.startswith("day,environment,app,app_name,container_s,cpu_core_s,memory_gib_s")
    assert ["main", "metered"] in [row.split(",")[1:4:2] for row in rows]
    refused = priced.ionian("usage", "--app", "nothing")
    assert (refused.returncode, "there is no app 'nothing'" in refused.stdout) == (1, True), refused.stdout


def test_an_app_past_its_budget_takes_calls_again_when_it_has_more(priced: Home, tmp_path: Path) -> None:
    calls = write(tmp_path, "calls.py", CALLS)
    for budget, wanted, said in (
        (0.001, "refused", "app 'dear' has used 0."),
        (1000.0, "done", "done"),
    ):
        done = priced.ionian("deploy", write(tmp_path, "dear.py", DEAR.format(budget=budget)))
        assert done.returncode == 0, done.stdout
        answered = priced.ionian("python", "-q", calls, wanted)
        assert said in answered.stdout, answered.stdout
    assert "when it is used up" not in answered.stdout
    logged = priced.ionian("app", "logs", "dear", "--source", "system").stdout
    assert "of its budget of 0.00 EUR" in logged, logged
    assert priced.ionian("app", "stop", "dear", "--yes").returncode == 0


def test_an_environment_has_a_budget_until_it_has_none(priced: Home) -> None:
    done = priced.ionian("environment", "update", "main", "--budget", "1e6")
    assert "a budget of 1,000,000.00 a month" in done.stdout, done.stdout
    assert "1,000,000.00" in priced.ionian("environment", "list").stdout
    done = priced.ionian("environment", "update", "main", "--budget", "none")
    assert "budget" not in done.stdout, done.stdout
    refused = priced.ionian("environment", "update", "main", "--budget", "much")
    assert (refused.returncode, "expected an amount" in refused.stdout) == (2, True), refused.stdout


def of_stay(home: Home) -> dict[str, float]:
    """The containers of the app that stays, and their seconds."""
    return {row["container"]: row["container_s"] for row in containers(home, "stays")}


def test_a_killed_server_loses_nothing_and_counts_nothing_twice(priced: Home, tmp_path: Path) -> None:
    done = priced.ionian("deploy", write(tmp_path, "stays.py", STAYS))
    assert done.returncode == 0, done.stdout
    until(lambda: bool(of_stay(priced)), "the container was not metered while it ran")
    warned = "stay has not been without a container for"
    until(
        lambda: warned in priced.ionian("app", "logs", "stays", "--source", "system").stdout,
        "nobody was told that it never scales to zero",
    )
    said = priced.ionian("app", "logs", "stays", "--source", "system").stdout
    assert "; min_containers=1 keeps them there" in said, said
    ((container, before),) = of_stay(priced).items()
    os.kill(server_of(priced), signal.SIGKILL)
    until(lambda: of_stay(priced).get(container, 0.0) > before, "it was not metered after the kill")
    done = priced.ionian("app", "stop", "stays", "--yes")
    assert done.returncode == 0, done.stdout
    query = "SELECT wall_s, cpu_s, memory_gib_s FROM usage WHERE container_id = ?"
    with sqlite3.connect(f"file:{priced.folder}/state.db?mode=ro", uri=True, timeout=30) as database:
        at_its_end = database.execute(query, (container,)).fetchone()
    (row,) = [
        one for one in usage(priced, "--by", "container", "--app", "stays") if one["container"] == container
    ]
    summed = (row["container_s"], row["used_cpu_core_s"], row["used_memory_gib_s"])
    assert summed == pytest.approx(at_its_end, rel=1e-3)


def test_what_a_killed_worker_had_told_stays(priced: Home, tmp_path: Path) -> None:
    """Of an app that may have had containers before."""
    done = priced.ionian(
        "deploy", write(tmp_path, "stays.py", STAYS.replace("min_containers=1", "min_containers=0"))
    )
    assert done.returncode == 0, done.stdout
    known = set(of_stay(priced))
    done = priced.ionian("deploy", write(tmp_path, "stays.py", STAYS))
    assert done.returncode == 0, done.stdout
    until(lambda: bool(of_stay(priced).keys() - known), "the container was not metered while it ran")
    (container,) = of_stay(priced).keys() - known
    before = of_stay(priced)[container]
    os.kill(worker_of(priced), signal.SIGKILL)
    until(lambda: len(of_stay(priced).keys() - known) > 1, "no other container took its place")
    assert before <= of_stay(priced)[container]
    assert of_stay(priced).keys() >= known
