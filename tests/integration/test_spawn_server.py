"""Spawned inputs through a whole machine: server, worker, containers."""

from __future__ import annotations

import json
from pathlib import Path

from tests.homes import new_home

PROGRAM = Path(__file__).parents[1] / "faults" / "spawning.py"


def test_spawned_inputs_run_once_each_and_their_results_are_right() -> None:
    with new_home() as home:
        done = home.ionian("python", "-q", PROGRAM, "600")
        assert done.returncode == 0, done.stdout
        found = json.loads(done.stdout.strip().splitlines()[-1])
        assert found == {"right": True, "results": 600, "missing": [], "twice": []}
