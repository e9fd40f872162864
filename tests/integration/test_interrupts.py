"""A client that is interrupted or killed in the middle of a map: its app is stopped and its containers are gone."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import containers, gone, running, there

PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """A home of this file's own: elsewhere templates of other tests' apps may be forked in the same moment."""
    with new_home() as home:
        yield home


def test_ctrl_c_in_a_map_ends_its_containers_within_two_seconds(home: Home) -> None:
    before = there(home)
    with running(home, "run", "steady.py", cwd=PROGRAMS) as program:
        program.until("result")
        program.until("result")
        processes = containers(home, besides=before)
        assert processes
        program.signal(signal.SIGINT)
        assert not gone(processes, within_s=2)
        assert program.end() == 130
    assert "Stopping the app …" in program.said
    assert "Traceback" not in program.text


def test_a_second_ctrl_c_ends_the_client_at_once_and_its_containers_too(home: Home) -> None:
    before = there(home)
    with running(home, "run", "steady.py", cwd=PROGRAMS) as program:
        program.until("result")
        processes = containers(home, besides=before)
        program.signal(signal.SIGINT)
        program.until("Stopping the app …")
        program.signal(signal.SIGINT)
        assert program.end() == 130
        assert not gone(processes, within_s=10)
    assert "Traceback" not in program.text


@pytest.mark.parametrize("way", ["", "async"])
def test_ctrl_c_in_a_blocking_call_ends_it(home: Home, way: str) -> None:
    before = there(home)
    with running(home, "python", "waiting.py", *way.split(), cwd=PROGRAMS) as program:
        program.until("the hour begins")
        processes = containers(home, besides=before)
        assert processes
        program.signal(signal.SIGINT)
        assert not gone(processes, within_s=2)
        assert program.end() == 130
    assert "Traceback" not in program.text


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    """A home whose server waits for a lost client for half a second only."""
    monkeypatch.setenv("IONIAN_CLIENT_GONE_S", "0.5")
    with new_home() as home:
        yield home


def test_the_app_of_a_killed_client_is_stopped_and_its_containers_are_gone(impatient: Home) -> None:
    with running(impatient, "run", "steady.py", cwd=PROGRAMS) as program:
        program.until("result")
        program.until("result")
        processes = containers(impatient)
        assert processes
        program.signal(signal.SIGKILL)
        program.end()
        assert not gone(processes, within_s=30)
    log = (impatient.folder / "logs" / "server.log").read_text()
    assert "client gone, stopping app=" in log
    done = impatient.ionian("run", "-q", "bad_values.py::all_go_on", cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("way", ["build", "async build"])
def test_ctrl_c_while_an_image_is_built_ends_the_step_when_nobody_else_waits_for_it(
    impatient: Home, way: str
) -> None:
    with running(impatient, "python", "waiting.py", *way.split(), cwd=PROGRAMS) as program:
        program.until("    the step begins")
        processes = containers(impatient, having="echo the step begins")
        assert processes
        program.signal(signal.SIGINT)
        assert program.end() == 130
    assert "Traceback" not in program.text
    assert not gone(processes, within_s=30)
