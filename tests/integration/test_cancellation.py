"""Inputs that are cancelled while they run, in real containers (programs/cancellations.py)."""

from __future__ import annotations

from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import seen_by

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

CAUGHT = {
    "sync": "InputCancellation",
    "coroutine": "CancelledError",
    "generator": "InputCancellation",
    "async generator": "CancelledError",
    "on loop": "CancelledError",
    "in thread": "InputCancellation",
}
"""What user code sees, by the way in which its function runs."""


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    return seen_by(home, "cancellations.py")[0]


@pytest.mark.parametrize("way", list(CAUGHT))
def test_a_cancelled_input_is_interrupted_and_cleans_up(seen: dict[str, Any], way: str):
    assert seen[way]["caught"] == CAUGHT[way]
    assert seen[way]["cleaned in"] == seen[way]["first"]


@pytest.mark.parametrize("way", list(CAUGHT))
def test_the_container_of_a_cancelled_input_goes_on_with_other_work(seen: dict[str, Any], way: str):
    assert seen[way]["after"] == seen[way]["first"]


@pytest.mark.parametrize("way", ["on loop", "in thread"])
def test_what_runs_beside_a_cancelled_input_is_not_disturbed(seen: dict[str, Any], way: str):
    assert seen[way]["neighbour"] == seen[way]["first"]
