"""The dispatcher in a world where things go wrong. More of it: `soak.py`.

Each run plays the same first seeds, and then new ones for IONIAN_SIMULATION_S seconds (60); a failure says how it is
played again.
"""

from __future__ import annotations

import os
import random
import time

import pytest

from .large import play_large
from .stories import KINDS, play

SEEDS = int(os.environ.get("IONIAN_SEEDS", "100"))
SPAN_S = float(os.environ.get("IONIAN_SIMULATION_S", "60"))

FOUND = (59, 285, 1007, 1047, 1177, 1243, 190729161917, 982196841799, 121902414756, 70254)
"""Seeds of worlds in which a failure was once found, of 5 workers and 300 inputs,"""

FOUND_LARGER = (60000456, 60000877, 70000076, 80000078, 80002108, 80003214, 96004047)
"""and of 20 workers and 2,000 inputs."""


@pytest.mark.parametrize("kind", KINDS)
def test_every_input_has_one_result(kind: str) -> None:
    at, count = list(KINDS).index(kind), len(KINDS)
    for seed in range(at, SEEDS, count):
        play(seed, kind)


def test_new_seeds() -> None:
    until = time.monotonic() + SPAN_S
    while time.monotonic() < until:
        play(random.randrange(1 << 40))


@pytest.mark.timeout(600)  # 20 s where nothing else runs
def test_a_thousand_workers_run_a_hundred_thousand_inputs() -> None:
    play_large(1, inputs=100_000)


@pytest.mark.parametrize("seed", FOUND)
def test_worlds_in_which_a_failure_was_once_found(seed: int) -> None:
    play(seed)


@pytest.mark.parametrize("seed", FOUND_LARGER)
def test_larger_worlds_in_which_a_failure_was_once_found(seed: int) -> None:
    play(seed, workers=20, inputs=2000)
