"""The dispatcher in a world where things go wrong. One seed: IONIAN_SEED=17; more of them: `soak.py`.

Each run plays the same first seeds, and then new ones for IONIAN_SIMULATION_S seconds (20); a failure names its seed.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from .large import play_large
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
    play_large(int(ONE or 1), inputs=100_000)


@pytest.mark.parametrize(
    ("seed", "faults"),
    [(5033, Faults(cuts=12)), (5126, Faults(cuts=12)), (5070, Faults(server_kills=3, cuts=3))],
)
def test_worlds_in_which_a_failure_was_once_found(seed: int, faults: Faults) -> None:
    Story(seed, faults=faults).play()
