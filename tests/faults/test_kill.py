"""kill -9 of one process in the middle of a map, at a named point of the call path.

Every input ends with exactly one result at the caller, in order, and a file of side effects shows how often each
ran: once, save where its container was the one killed (with a worker its containers end).
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.homes import Home, new_home

PROGRAM = Path(__file__).with_name("counting.py")
SPAWNING = Path(__file__).with_name("spawning.py")
RETRYING = Path(__file__).with_name("retrying.py")
INPUTS = 10_000
RUNS = int(os.environ.get("IONIAN_FAULT_RUNS", "1"))
"""Runs of each point; each is killed later than the one before. CI makes few, a release fifty."""

pytestmark = pytest.mark.xdist_group("faults")


@pytest.fixture
def fresh() -> Iterator[Home]:
    """A home of its own: its server and worker are started with the fault armed."""
    with new_home() as home:
        yield home


def outcome(
    home: Home, point: str, count: int, program: Path = PROGRAM, *, inputs: int = INPUTS
) -> dict[str, Any]:
    """Runs the program with a kill armed at the `count`-th time that a process reaches the point."""
    once = home.folder / "killed"
    environment = {"IONIAN_FAULT": f"{point}:{count}", "IONIAN_FAULT_ONCE": str(once)}
    done = home.ionian("python", "-q", program, str(inputs), environment=environment)
    assert done.returncode == 0, done.stdout
    if point.startswith("container."):  # each container is killed at its `count`-th time
        assert "why=signal" in (home.folder / "logs" / "worker.log").read_text()
    else:
        assert once.exists(), f"nothing was killed at {point}"
    return json.loads(done.stdout.strip().splitlines()[-1])


def kill_at(point: str, run: int) -> int:
    """How often a point is reached before the kill of a run. Confirmations are gathered for 20 ms: there are few."""
    return 1 + run % 8 if "confirm" in point else 20 + 3 * run % 150


@pytest.mark.timeout(180)
@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", ["server.run", "server.deliver", "server.confirm"])
def test_a_killed_server_costs_no_input_and_none_runs_twice(fresh: Home, point: str, run: int) -> None:
    found = outcome(fresh, point, kill_at(point, run))
    assert found == {"right": True, "results": INPUTS, "missing": [], "twice": []}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", ["worker.run", "worker.result", "worker.confirmed"])
def test_a_killed_worker_costs_no_input_and_only_what_its_containers_had_runs_again(
    fresh: Home, point: str, run: int
) -> None:
    found = outcome(fresh, point, kill_at(point, run))
    assert found["right"], found
    assert not found["missing"]
    assert len(found["twice"]) < 3 * 256 + 4096, "more ran again than containers can have had"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", ["container.claimed", "container.ran"])
def test_a_killed_container_costs_no_input_and_only_its_own_run_again(
    fresh: Home, point: str, run: int
) -> None:
    found = outcome(fresh, point, 30 + run % 15 if point == "container.claimed" else 500 + 7 * run)
    assert found["right"], found
    assert not found["missing"]
    assert len(found["twice"]) <= 10 * 256, "more ran again than the killed containers had claimed"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize(
    "point", ["durable.received", "durable.committed", "durable.recorded", "server.run", "server.confirm"]
)
def test_a_killed_server_loses_no_spawned_input_and_runs_none_twice(
    fresh: Home, point: str, run: int
) -> None:
    found = outcome(fresh, point, 15 + 11 * run % 100 if point != "server.confirm" else 1 + run % 8, SPAWNING)
    assert found == {"right": True, "results": INPUTS, "missing": [], "twice": []}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", ["worker.run", "worker.result", "container.ran"])
def test_a_killed_worker_or_container_loses_no_spawned_input(fresh: Home, point: str, run: int) -> None:
    found = outcome(fresh, point, 20 + 7 * run if point != "container.ran" else 500 + 7 * run, SPAWNING)
    assert found["right"], found
    assert not found["missing"]
    assert len(found["twice"]) <= 10 * 256, "more ran again than the killed containers had"


@pytest.mark.timeout(180)
@pytest.mark.parametrize("run", range(RUNS))
def test_a_killed_server_goes_on_counting_the_retries_of_spawned_inputs(fresh: Home, run: int) -> None:
    found = outcome(fresh, "durable.tried", 1 + run % 3, RETRYING, inputs=1)
    assert found == {"wrong": [], "times": [[4, 1]]}


@pytest.mark.timeout(180)
@pytest.mark.parametrize("run", range(RUNS))
def test_a_failure_that_was_not_on_disk_yet_is_all_that_a_killed_server_forgets(
    fresh: Home, run: int
) -> None:
    found = outcome(fresh, "durable.tried", 1 + run % 8, RETRYING, inputs=5)
    assert found["wrong"] == []
    assert {times for times, _ in found["times"]} <= {4, 5}, found
