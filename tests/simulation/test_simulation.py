"""The dispatcher in a world where things go wrong. One seed: IONIAN_SEED=17; more of them: `many.py`.

Each run plays the same first seeds, and then new ones for IONIAN_SIMULATION_S seconds (20); a failure names its seed.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from ionian.protocol.spec import Batching, Concurrency, FunctionSpec, Resources, RetryPolicy, Scaling

from .peers import Work
from .stories import KINDS, Faults, Story, play

SEEDS = int(os.environ.get("IONIAN_SEEDS", "210"))
SPAN_S = float(os.environ.get("IONIAN_SIMULATION_S", "20"))
ONE = os.environ.get("IONIAN_SEED")


@pytest.mark.parametrize("kind", KINDS)
def test_every_input_has_one_result(kind: str) -> None:
    at, count = list(KINDS).index(kind), len(KINDS)
    for seed in [int(ONE)] if ONE else range(at, SEEDS, count):
        play(seed, kind)


def test_new_seeds() -> None:
    until = time.monotonic() + SPAN_S
    while time.monotonic() < until and not ONE:
        play(random.randrange(1 << 40))


def test_a_thousand_workers_run_a_hundred_thousand_inputs() -> None:
    quick = FunctionSpec("fu-1", "quick", "m", "f")
    capped = FunctionSpec("fu-2", "capped", "m", "f", scaling=Scaling(max_containers=300))
    large = FunctionSpec("fu-3", "large", "m", "f", resources=Resources(cpu_milli=2000, memory_mib=1024))
    shared = FunctionSpec("fu-4", "shared", "m", "f", concurrency=Concurrency(20), retries=RetryPolicy(3))
    batched = FunctionSpec("fu-5", "batched", "m", "f", batching=Batching(10, 50))
    specs = [
        (shared, Work(seconds=0.2, fails_every=100, fails_times=2, unlucky_every=5000)),
        (batched, Work(seconds=0.1)),
        (quick, Work(seconds=0.0003, slow_every=1000, unlucky_every=1000)),
        (capped, Work(seconds=0.05)),
        (large, Work(seconds=0.5, deadly_every=5000)),
    ]
    faults = Faults(cuts=100, container_kills=50, worker_kills=5, server_kills=1, deploys=10, span_s=20.0)
    Story(int(ONE or 1), workers=1000, inputs=100_000, faults=faults, check_every=20_000, specs=specs).play()


@pytest.mark.parametrize(
    ("seed", "faults"),
    [(5033, Faults(cuts=12)), (5126, Faults(cuts=12)), (5070, Faults(server_kills=3, cuts=3))],
)
def test_worlds_in_which_a_failure_was_once_found(seed: int, faults: Faults) -> None:
    Story(seed, faults=faults).play()
