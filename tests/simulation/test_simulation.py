"""The dispatcher in a world where things go wrong. More seeds: IONIAN_SEEDS=2000; one: IONIAN_SEED=17."""

from __future__ import annotations

import os

import pytest

from ionian.protocol.spec import FunctionSpec, Resources, Scaling

from .peers import Work
from .stories import Faults, Story

SEEDS = int(os.environ.get("IONIAN_SEEDS", "200"))
ONE = os.environ.get("IONIAN_SEED")


def seeds(part: int, parts: int) -> list[int]:
    """This part's share of the seeds."""
    return [int(ONE)] if ONE else list(range(part, SEEDS, parts))


def test_every_input_has_one_result_where_nothing_goes_wrong() -> None:
    for seed in seeds(0, 7):
        Story(seed, faults=Faults(span_s=0.0)).play()


def test_cut_connections_lose_nothing_and_run_nothing_twice() -> None:
    for seed in seeds(1, 7):
        Story(seed, faults=Faults(cuts=12)).play()


def test_killed_servers_lose_nothing_and_run_nothing_twice() -> None:
    for seed in seeds(2, 7):
        Story(seed, faults=Faults(server_kills=3, cuts=3)).play()


def test_killed_containers_workers_and_clients_cost_only_what_they_ran() -> None:
    for seed in seeds(3, 7):
        Story(seed, faults=Faults(container_kills=5, worker_kills=3, client_kills=1, cuts=3)).play()


def test_everything_at_once_and_workers_out_of_reach_for_long() -> None:
    for seed in seeds(4, 7):
        faults = Faults(
            cuts=8,
            long_cuts=2,
            server_kills=2,
            container_kills=2,
            worker_kills=1,
            client_kills=1,
            span_s=60.0,
        )
        Story(seed, faults=faults).play()


def test_deploys_while_calls_run_lose_nothing() -> None:
    for seed in seeds(5, 7):
        Story(seed, faults=Faults(deploys=8, cuts=3)).play()


def test_deploys_removals_and_everything_else_at_once() -> None:
    for seed in seeds(6, 7):
        faults = Faults(
            deploys=5,
            removals=1,
            cuts=5,
            long_cuts=1,
            server_kills=1,
            container_kills=3,
            worker_kills=1,
            client_kills=1,
            span_s=30.0,
        )
        Story(seed, faults=faults).play()


def test_a_thousand_workers_run_a_hundred_thousand_inputs() -> None:
    quick = FunctionSpec("fu-1", "quick", "m", "f")
    capped = FunctionSpec("fu-2", "capped", "m", "f", scaling=Scaling(max_containers=300))
    large = FunctionSpec("fu-3", "large", "m", "f", resources=Resources(cpu_milli=2000, memory_mib=1024))
    specs = [
        (quick, Work(seconds=0.0003, slow_every=1000, unlucky_every=1000)),
        (capped, Work(seconds=0.05)),
        (large, Work(seconds=0.5, deadly_every=5000)),
    ]
    faults = Faults(cuts=100, container_kills=50, worker_kills=5, server_kills=1, span_s=20.0)
    Story(int(ONE or 1), workers=1000, inputs=100_000, faults=faults, check_every=20_000, specs=specs).play()


@pytest.mark.parametrize(
    ("seed", "faults"),
    [(5033, Faults(cuts=12)), (5126, Faults(cuts=12)), (5070, Faults(server_kills=3, cuts=3))],
)
def test_worlds_in_which_a_failure_was_once_found(seed: int, faults: Faults) -> None:
    Story(seed, faults=faults).play()
