"""Clusters in real containers: their networks, their failures and deaths, and what people see of them."""

from __future__ import annotations

import ast
import json
import os
import signal
from collections import Counter
from collections.abc import Callable, Collection, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.cards import offer
from tests.integration.processes import Program, running, server_of, worker_of

from ionian.worker.network.network import why_not

PROGRAMS = Path(__file__).with_name("programs")

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

own = pytest.mark.skipif(bool(why_not()), reason=f"no networks of their own here: {why_not()}")


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """A home whose worker has four cards."""
    with new_home() as home:
        environment = offer(tmp_path_factory.mktemp("cards"), *["A100-80GB"] * 4)
        started = home.ionian("server", "start", environment=environment)
        assert started.returncode == 0, started.stdout
        yield home


@pytest.fixture(scope="module")
def seen(place: Home) -> dict[str, Any]:
    done = place.ionian("run", "-q", "clusters.py::main", cwd=PROGRAMS, timeout_s=280)
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SEEN ")]
    return json.loads(line[5:])


def test_a_member_that_dies_ends_its_cluster_and_the_input_runs_again(seen: dict[str, Any]) -> None:
    assert seen["dies"] == [True, True]


def test_a_member_that_fails_fails_the_input_at_once_and_the_cluster_goes_on(seen: dict[str, Any]) -> None:
    assert seen["first"] == ["ValueError", "rank 1 says no"]
    assert seen["second"] == ["ValueError", "rank 0 says no"]
    assert seen["same containers"]


def test_an_input_that_one_member_runs_too_long_is_ended(seen: dict[str, Any]) -> None:
    assert seen["slow"] == [
        "FunctionTimeoutError",
        "slow ran longer than its timeout of 1 s and was ended. Raise it with @app.function(timeout=…).",
    ]


def test_a_cancelled_input_is_interrupted_in_all_members_which_run_the_next(seen: dict[str, Any]) -> None:
    assert seen["cancelled"] == [[0, 1], "RemoteError", [1, 1]]


def test_a_member_whose_enter_fails_says_so_to_the_caller(seen: dict[str, Any]) -> None:
    assert seen["enters badly"] == ["ValueError", "rank 1 does not begin"]


def test_numbers_of_containers_count_members_and_are_whole_clusters(seen: dict[str, Any]) -> None:
    running, (kind, words) = seen["scaled"]
    assert running == 2
    assert kind == "InvalidError"
    assert (
        "min_containers: expected a multiple of its cluster's size (2), as it counts containers, got 1"
        in words
    )


@own
def test_members_behind_the_block_reach_each_other_and_nothing_else(seen: dict[str, Any]) -> None:
    assert [said for said, _ in seen["blocked"]] == ["ConnectionRefusedError"] * 2


@own
def test_no_other_container_and_no_other_cluster_connects_to_a_member(seen: dict[str, Any]) -> None:
    listens, (alone, together, own) = seen["besieged"]
    assert (listens, own) == ("listens", "let in")
    assert [alone, *together] == ["ConnectionRefusedError"] * 3


@own
def test_large_arguments_reach_all_members_and_a_large_result_comes_back(seen: dict[str, Any]) -> None:
    assert [size for _, size in seen["blocked"]] == [5 << 20] * 2
    assert seen["same content"]


def test_members_run_several_inputs_at_once(seen: dict[str, Any]) -> None:
    assert seen["together"] == [[number, 0] for number in range(8)]


def test_each_member_has_its_own_share_of_the_cards(seen: dict[str, Any]) -> None:
    (first, visible), (second, visible_too) = seen["cards"]
    assert visible == visible_too == "0,1"
    assert len(first) == len(second) == 2
    assert set(first).isdisjoint(second)


def test_clusters_for_one_input_run_one(seen: dict[str, Any]) -> None:
    assert seen["once"] == [4]


def test_a_function_says_that_it_is_clustered(seen: dict[str, Any]) -> None:
    assert seen["info"] == [2, False, None]


# --- what people see and do


def members(home: Home) -> dict[str, dict[str, Any]]:
    listed = home.ionian("container", "list", "--json")
    assert listed.returncode == 0, listed.stdout
    rows = json.loads(listed.stdout)
    return {row["Container ID"]: row for row in rows if row["Function"].startswith("held")}


def both_wait(run: Program) -> None:
    waits = {"rank 0 waits", "rank 1 waits"}
    while not all(any(text in line for line in run.said) for text in waits):
        run.until("waits")


def let_go(home: Home, name: str) -> None:
    done = home.ionian("run", "-q", "clusters.py::let_go", "--name", name, cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout


def began(run: Program) -> dict[str, int]:
    """How often each rank has begun the input."""
    (line,) = [line for line in run.said if line.startswith("began ")]
    return dict(Counter(ast.literal_eval(line.removeprefix("began "))))


def test_each_member_is_listed_reached_and_has_its_lines(place: Home) -> None:
    with running(place, "run", "clusters.py::hold", "--name", "seen", cwd=PROGRAMS) as run:
        both_wait(run)
        there = members(place)
        assert sorted(row["Function"] for row in there.values()) == ["held (rank 0)", "held (rank 1)"]
        (cluster_id,) = {row["Cluster ID"] for row in there.values()}
        for container_id, row in there.items():
            rank = row["Function"][-2]
            said = place.ionian("container", "exec", "--no-pty", container_id, "printenv", "MODAL_TASK_ID")
            assert said.stdout.strip() == container_id
            lines = place.ionian("container", "logs", container_id)
            assert lines.stdout.strip() == f"rank {rank} waits"
        code = f"import ionian; print(ionian.Cluster.from_id({cluster_id!r}).container_ids())"
        asked = place.python("-c", code)
        assert asked.stdout.strip() == repr(sorted(there, key=len))
        let_go(place, "seen")
        assert run.end(240) == 0, run.text
    assert began(run) == {"0": 1, "1": 1}


def check_another_runs_it_again(home: Home, name: str, end: Callable[[Collection[str]], None]) -> None:
    """`end` gets the members of a cluster that runs an input, and ends it."""
    with running(home, "run", "clusters.py::hold", "--name", name, cwd=PROGRAMS) as run:
        both_wait(run)
        there = members(home)
        end(there)
        run.said.clear()
        both_wait(run)
        assert members(home).keys().isdisjoint(there)
        let_go(home, name)
        assert run.end(240) == 0, run.text
    assert began(run) == {"0": 2, "1": 2}


def test_who_stops_a_member_stops_the_cluster_and_the_input_runs_again(place: Home) -> None:
    def stop(there: Collection[str]) -> None:
        stopped = place.ionian("container", "stop", "--yes", max(there, key=len))
        assert stopped.returncode == 0, stopped.stdout

    check_another_runs_it_again(place, "stopped", stop)


def test_with_a_killed_worker_ends_the_cluster_and_the_input_runs_again(place: Home) -> None:
    check_another_runs_it_again(place, "killed", lambda _: os.kill(worker_of(place), signal.SIGKILL))


def test_a_cluster_outlives_the_server_and_its_input_runs_once(place: Home) -> None:
    with running(place, "run", "clusters.py::hold", "--name", "outlives", cwd=PROGRAMS) as run:
        both_wait(run)
        os.kill(server_of(place), signal.SIGKILL)
        let_go(place, "outlives")
        assert run.end(240) == 0, run.text
    assert began(run) == {"0": 1, "1": 1}
