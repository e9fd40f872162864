"""Many spawned inputs through the SDK, and kill -9 of the server amid them: the small form of benchmarks/spawn_soak.py."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.homes import new_home

REPOSITORY = Path(__file__).parents[2]
INPUTS = 20_000

MOST_MIB = 400
"""The server has some 80 MiB with nothing to do, and had 180 with a million inputs waiting."""


@pytest.mark.timeout(180)
@pytest.mark.xdist_group("faults")
def test_spawned_inputs_wait_in_the_store_and_survive_two_kills_of_the_server() -> None:
    with new_home() as home:
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.spawn_soak", "--inputs", str(INPUTS)],
            cwd=REPOSITORY,
            env=home.environment,
            capture_output=True,
            text=True,
            timeout=170,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        found = json.loads(done.stdout.strip().splitlines()[-1])
        assert (found["inputs"], found["right"], found["kills"]) == (INPUTS, INPUTS, 2)
        assert found["server_peak_mib"] < MOST_MIB
