"""Many functions, classes and variants of them on the cards of one machine: who has which, and never two the same."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.cards import NODES, number_of, offer
from tests.integration.processes import Program, containers, running, server_of, worker_of
from tests.integration.seen import seen_by

PROGRAMS = Path(__file__).with_name("programs")

pytestmark = pytest.mark.timeout(300)

GIVEN = {
    "one": [[1, "0"]],
    "another": [[1, "0"]],
    "two": [[2, "0,1"]],
    "three": [[3, "0,1,2"]],
    "four": [[4, "0,1,2,3"]],
    "fewer": [[2, "0,1"]],
}
"""How many cards each sees in all its containers, and CUDA_VISIBLE_DEVICES."""


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[tuple[Home, dict[str, str]]]:
    """A home of its own and the environment in which its worker has four cards."""
    with new_home() as home:
        yield home, offer(tmp_path, *["A100-80GB"] * 4)


def seen(run: Program) -> dict[str, Any]:
    assert run.end() == 0, run.text
    (line,) = [line for line in run.said if line.startswith("SEEN ")]
    return json.loads(line[5:])


def test_no_card_has_two_containers_whoever_is_killed(machine: tuple[Home, dict[str, str]]) -> None:
    home, environment = machine
    with running(home, "run", "-q", "cards.py", cwd=PROGRAMS, environment=environment) as run:
        run.until("done ")
        os.kill(server_of(home), signal.SIGKILL)
        run.until("done ")
        os.kill(worker_of(home), signal.SIGKILL)
        run.until("done ")
        there = containers(home)
        for pid, descriptor in there.items():
            os.close(descriptor)
            with suppress(ProcessLookupError):  # it ended just now
                os.kill(pid, signal.SIGKILL)
        found = seen(run)
    assert found["shared"] == []
    assert found["found"] == GIVEN
    assert set(found["numbers"]) == {number_of(node) for node in NODES}


def test_each_gets_a_card_of_the_kind_that_it_names_or_is_told_what_there_is(tmp_path: Path) -> None:
    environment = offer(tmp_path, "H100", "H200", "A100-80GB", "A100-40GB")
    with new_home() as home:
        found, _ = seen_by(home, "kinds_of_cards.py", environment=environment)
        without, said = seen_by(home, "kinds_of_cards.py", environment=environment | {"IONIAN_GPU": "ignore"})
    refused, any_one = found.pop("refused"), found.pop("any")
    assert len(any_one) == 1
    assert found == {
        "exact": ["nvidia0"],
        "smaller": ["nvidia3"],
        "larger": ["nvidia2"],
        "fallback": ["nvidia1"],
        "variant": ["nvidia1"],
    }
    assert refused == (
        "Model can't run: it asks for the GPU A100-80GB:2, and the workers have A100-40GB (up to 1), A100-80GB (up to 1), "
        "H100 (up to 1), H200 (up to 1); `--no-gpu` runs it on the CPU"
    )
    assert set(map(str, without.values())) == {"[]"}
    assert "Without the GPU that they ask for (--no-gpu): exact, smaller, larger, fallback, Model" in said


ASKED = "4 × A100 asked, 2 free of 4 on worker local"
UNBLOCKS = "it starts when a container of hold ends"


def test_four_cards_are_waited_for_with_a_place_a_reason_and_what_unblocks_it_and_small_ones_wait_behind(
    machine: tuple[Home, dict[str, str]], tmp_path: Path
) -> None:
    home, environment = machine
    go = tmp_path / "go"
    with running(home, "run", "line.py", "--go", str(go), cwd=PROGRAMS, environment=environment) as run:
        run.until(f"four waits: {ASKED}; it is 1st in the queue; {UNBLOCKS}")
        go.touch()
        found = seen(run)
    assert found["large"] == [f"1 input waiting: {ASKED}; {UNBLOCKS}"]
    assert found["small"] == [
        "6 inputs waiting: others that came before it are to have the room on worker local; it is 2nd in the queue"
    ]
    assert f"{ASKED}; it is 1st in the queue; {UNBLOCKS}" in found["why"]
    rows = [(row["Function"], row["State"], row["Inputs"], row["GPUs"]) for row in found["list"]]
    assert rows == [
        ("hold", "ready", "1", "nvidia.com/gpu=0, nvidia.com/gpu=1"),
        ("four", "wanted", "1", ""),
        ("small", "wanted", "6", ""),
    ]
    assert found["after"] == [True] * 6, "none of the small ones ran before the large one"
