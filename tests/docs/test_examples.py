"""Each example runs, on a little of its input."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.homes import Home

EXAMPLES = ROOT / "examples"

ENTRY_POINTS = ["embed_documents.py", "fine_tune.py", "nightly_report.py", "search_service.py"]
"""Each has a test below; what else lies in examples/ is imported or called by these."""

TEXT = """
A baker mixes flour, water, salt and yeast, lets the dough rise for some hours in a warm place, and bakes the bread
in a very hot oven until its crust is brown; a pan of hot water in the oven makes the crust thin and crisp.

The tail command prints the last lines of a file, ten of them unless it is told otherwise; with the option -f it goes
on and prints what is appended while the file grows, which is how people watch the log of a program that runs.

A mutex is a lock that one thread holds at a time: another thread that asks for it waits until the first one lets it
go; two threads that each hold one lock and ask for the other's wait for ever, and that is called a deadlock.
"""


def test_every_example_has_a_test() -> None:
    programs = [path.name for path in EXAMPLES.glob("*.py") if "modal.App(" in path.read_text()]
    assert sorted(programs) == sorted(ENTRY_POINTS)


@pytest.mark.container
@pytest.mark.timeout(400)
def test_documents_of_a_folder_are_embedded_and_the_nearest_is_found(home: Home, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text(TEXT)
    done = home.ionian("run", EXAMPLES / "embed_documents.py", "--folder", tmp_path, timeout_s=390)
    assert done.returncode == 0, done.stdout
    assert "Embedded 3 documents" in done.stdout
    answer = done.stdout.partition("last lines of a file")[2].strip().splitlines()[1]
    assert "The tail command" in answer, done.stdout


@pytest.mark.container
@pytest.mark.timeout(400)
def test_a_deployed_class_is_filled_and_asked_by_another_program(home: Home) -> None:
    deployed = home.ionian("deploy", EXAMPLES / "search_service.py", timeout_s=390)
    assert deployed.returncode == 0, deployed.stdout
    done = home.python(EXAMPLES / "ask_search_service.py")
    assert done.returncode == 0, done.stdout
    bread, log = done.stdout.split("How do I watch a log file?")
    assert "bakes the bread" in bread
    assert "tail command" in log
    assert home.ionian("app", "stop", "search-service", "--yes").returncode == 0


@pytest.mark.container
@pytest.mark.timeout(400)
def test_the_nightly_report_is_written_once_and_is_due_at_half_past_two(home: Home) -> None:
    first = home.ionian("run", EXAMPLES / "nightly_report.py", timeout_s=390)
    assert first.returncode == 0, first.stdout
    assert re.search(r"written: \['\d{4}-\d\d-\d\d'\]", first.stdout), first.stdout
    second = home.ionian("run", EXAMPLES / "nightly_report.py")
    assert "written: nothing was missing" in second.stdout, second.stdout
    deployed = home.ionian("deploy", EXAMPLES / "nightly_report.py")
    assert deployed.returncode == 0, deployed.stdout
    apps = json.loads(home.ionian("app", "list", "--json").stdout)
    (next_run,) = [
        row["Next run"] for row in apps if row["Description"] == "nightly-report" and row["Version"]
    ]
    assert re.search(r"T? ?0[01]:30:00", next_run), next_run  # in UTC, by the season of Berlin
    assert home.ionian("app", "stop", "nightly-report", "--yes").returncode == 0


@pytest.mark.container
@pytest.mark.timeout(400)
def test_a_training_whose_container_was_killed_ends_as_one_that_was_not(home: Home) -> None:
    program = EXAMPLES / "fine_tune.py"
    killed = home.ionian("run", program, "--run", "killed", "--steps", "60", "--kill-at", "50", timeout_s=390)
    assert killed.returncode == 0, killed.stdout
    assert "going on at step 40" in killed.stdout
    whole = home.ionian("run", program, "--run", "whole", "--steps", "60")
    assert "going on" not in whole.stdout
    losses = [re.findall(r"60 steps on fine_tune.py, loss (.+)", done.stdout) for done in (killed, whole)]
    assert losses[0] == losses[1] != [], (killed.stdout, whole.stdout)
