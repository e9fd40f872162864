"""kill -9 of the server while apps are deployed, and while deployed functions run by themselves.

A file of side effects shows what ran: each input once, and each moment of a schedule once.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from ionian.protocol.ids import ALPHABET
from tests.faults.test_kill import RUNS
from tests.homes import Home, new_home

DEPLOYING = Path(__file__).with_name("deploying.py")
TICKING = Path(__file__).with_name("ticking.py")
RELEASES = 5

CLOCK_S = 0.05
"""The time of a file is that of a clock that stands for some milliseconds; a server takes longer to start."""

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.timeout(180)]


@pytest.fixture
def fresh() -> Iterator[Home]:
    """A home of its own: its server is started with the fault armed."""
    with new_home() as home:
        yield home


def outcome(home: Home, point: str, count: int, program: Path, *arguments: int) -> str:
    """The last line of a program, run with a kill armed at the `count`-th time that the server reaches the point."""
    environment = {"IONIAN_FAULT": f"{point}:{count}", "IONIAN_FAULT_ONCE": str(home.folder / "killed")}
    done = home.ionian("python", "-q", program, *map(str, arguments), environment=environment)
    log = (home.folder / "logs" / "server.log").read_text()
    assert done.returncode == 0, done.stdout + log
    assert (home.folder / "killed").exists(), f"nothing was killed at {point}"
    return done.stdout.strip().splitlines()[-1]


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", ["deploy.received", "deploy.stored", "deploy.published"])
def test_a_server_killed_in_a_deploy_makes_it_whole_and_loses_no_call(
    fresh: Home, point: str, run: int
) -> None:
    found = json.loads(outcome(fresh, point, 1 + run % RELEASES, DEPLOYING, RELEASES))
    assert found["wrong"] == []
    assert found["versions"] == list(range(RELEASES, 0, -1))
    (effects,) = (fresh.folder / "volumes").glob("*/ran")
    ran = Counter(int(line) for line in effects.read_text().split())
    assert ran == Counter(range(found["called"]))


def due_at(call_id: str) -> float:
    """When a call that a schedule made was due: the id has it."""
    value = 0
    for letter in call_id[3:13]:
        value = value * 32 + ALPHABET.index(letter)
    return value / 1000


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", ["schedule.due", "schedule.begun", "schedule.noted"])
def test_a_server_killed_at_the_moment_of_a_schedule_runs_it_once(fresh: Home, point: str, run: int) -> None:
    count = 1 + run % 3
    ran = json.loads(outcome(fresh, point, count, TICKING, count + 2))
    assert sorted(ran) == sorted(set(ran))
    killed = (fresh.folder / "killed").stat().st_mtime + CLOCK_S
    assert len([call_id for call_id in ran if due_at(call_id) <= killed]) == count
    begun = [
        line.rpartition("call=")[2]
        for line in (fresh.folder / "logs" / "server.log").read_text().splitlines()
        if "scheduled function=tick" in line
    ]
    assert set(begun) >= set(ran)
    assert len(set(begun) - set(ran)) <= 1  # the last one may have come with the end of the app
