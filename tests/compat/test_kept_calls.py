"""Calls that outlive the process that began them, and the server, in a program of plain Modal code (programs/kept.py)."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.homes import Home, new_home
from tests.integration.processes import running

PROGRAMS = Path(__file__).with_name("programs")

pytestmark = [pytest.mark.container, pytest.mark.timeout(300), pytest.mark.xdist_group("kept calls")]


@pytest.fixture(scope="module")
def place() -> Iterator[Home]:
    """A home of its own: its server is killed."""
    with new_home() as made:
        yield made


def kept(home: Home, *arguments: str, environment: Mapping[str, str] | None = None) -> str:
    """Runs the program; returns what it said."""
    done = home.ionian("python", "kept.py", *arguments, cwd=PROGRAMS, environment=environment)
    assert done.returncode == 0, done.stdout
    assert "all as expected" in done.stdout.splitlines(), done.stdout
    return done.stdout


@pytest.fixture(scope="module")
def calls(place: Home) -> str:
    """Ids of calls, as the process that began them printed them."""
    found = re.search(r"^CALLS (.+)$", kept(place, "begin"), re.MULTILINE)
    assert found is not None
    return found[1]


def kill_server(home: Home) -> None:
    """kill -9."""
    os.kill(json.loads((home.folder / "run" / "server.json").read_text())["pid"], signal.SIGKILL)


def test_a_call_graph_shows_nested_calls_of_every_kind_to_another_process(place: Home, calls: str) -> None:
    kept(place, "graph", calls)


def test_calls_of_one_process_are_asked_for_in_another_and_after_a_kill_of_the_server(
    place: Home, calls: str
) -> None:
    kill_server(place)
    kept(place, "ask", calls)


def test_who_waits_for_a_result_gets_it_from_the_server_that_comes_after_a_kill(
    place: Home, calls: str
) -> None:
    with running(place, "python", "kept.py", "wait", cwd=PROGRAMS) as program:
        program.until("WAITING")
        kill_server(place)
        kept(place, "go")
        assert program.end() == 0, program.text
    assert "all as expected" in program.said


def test_results_that_are_not_kept_any_more_are_said_to_be_expired(place: Home, calls: str) -> None:
    assert place.ionian("server", "stop").returncode == 0
    short = {"IONIAN_KEEP_RESULTS_S": "0.4"}
    started = place.ionian("server", "start", environment=short)
    assert started.returncode == 0, started.stdout
    kept(place, "expired", calls)
