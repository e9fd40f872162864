"""kill -9 of the server amid operations on dicts and queues: each that came back was carried out, once."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.test_kill import RUNS
from tests.homes import Home, new_home

PROGRAM = Path(__file__).with_name("dealing.py")
ITEMS = 300

pytestmark = [pytest.mark.xdist_group("faults"), pytest.mark.timeout(180)]


@pytest.fixture
def fresh() -> Iterator[Home]:
    """A home of its own: its server is started with the fault armed."""
    with new_home() as home:
        yield home


@pytest.mark.parametrize("run", range(RUNS))
@pytest.mark.parametrize("point", ["items.received", "items.committed"])
def test_a_server_killed_amid_operations_loses_none_and_does_none_twice(
    fresh: Home, point: str, run: int
) -> None:
    once = fresh.folder / "killed"
    environment = {"IONIAN_FAULT": f"{point}:{25 + 7 * run % 60}", "IONIAN_FAULT_ONCE": str(once)}
    done = fresh.ionian("python", "-q", PROGRAM, str(ITEMS), environment=environment, timeout_s=170)
    assert done.returncode == 0, done.stdout
    assert once.exists(), f"nothing was killed at {point}"

    assert json.loads(done.stdout.strip().splitlines()[-1]) == {
        "new": ITEMS,
        "handed": ITEMS,
        "popped": ITEMS,
        "left": [0, 0, 0],
        "missing": [],
        "twice": [],
    }
