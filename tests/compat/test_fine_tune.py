"""The program of the mission that trains with checkpoints, as a user of Modal wrote it, runs unmodified; killed in the
middle, it goes on from its last checkpoint."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.homes import Home, new_home
from tests.integration.processes import containers, gone, running

PROGRAMS = Path(__file__).with_name("programs")
CHECKPOINT = re.compile(r"step (\d+): loss")

pytestmark = [pytest.mark.container, pytest.mark.timeout(300), pytest.mark.xdist_group("fine tune")]


@pytest.fixture
def place() -> Iterator[Home]:
    """A home of its own: its volume has no checkpoint yet."""
    with new_home() as made:
        yield made


def checkpoints(text: str) -> list[int]:
    """The steps at which a checkpoint was written, in the order in which they were said."""
    return [int(step) for step in CHECKPOINT.findall(text)]


def test_the_fine_tune_program_runs_unmodified_and_again_from_its_checkpoint(place: Home) -> None:
    done = place.ionian("run", "--no-gpu", PROGRAMS / "fine_tune.py", timeout_s=280)
    assert done.returncode == 0, done.stdout
    assert checkpoints(done.stdout) == [10, 20, 30, 40, 50]
    assert "final loss" in done.stdout
    again = place.ionian("run", "--no-gpu", PROGRAMS / "fine_tune.py", "--steps", "70")
    assert again.returncode == 0, again.stdout
    assert checkpoints(again.stdout) == [60, 70]


def written(home: Home) -> bool:
    """Whether the checkpoint is whole: the program empties its file before it writes it."""
    (file,) = (home.folder / "volumes").glob("*/model-v2/demo.json")
    return file.read_text().endswith("}")


def signal_all(processes: dict[int, int], number: int) -> None:
    """Sends a signal to all of them."""
    for fd in processes.values():
        signal.pidfd_send_signal(fd, number)


def test_killed_in_the_middle_the_training_goes_on_from_the_checkpoint(place: Home) -> None:
    steps = 20_000
    with running(place, "run", "--no-gpu", "fine_tune.py", "--steps", str(steps), cwd=PROGRAMS) as program:
        program.until("step 1000:")
        killed = containers(place)
        assert killed
        signal_all(killed, signal.SIGSTOP)
        while not written(place):  # it was stopped in the middle of writing: a little further
            signal_all(killed, signal.SIGCONT)
            signal_all(killed, signal.SIGSTOP)
        signal_all(killed, signal.SIGKILL)
        assert not gone(killed, within_s=30)
        assert program.end(timeout_s=250) == 0, program.text
    said = checkpoints(program.text)
    assert said[-1] == steps
    assert said.count(10) == 1, "it began anew"
    assert len(said) - len(set(said)) <= 1, "it went back further than to the checkpoint"
    assert "final loss" in program.text
