"""Containers that die of what they run: the memory limit, os._exit, a segmentation fault, the timeout."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.homes import IONIAN, Home, new_home
from tests.integration.messages import fails_with, said

PROGRAMS = Path(__file__).with_name("programs")

WORDS = {
    "exit": "deadly: its process ended with exit code 5 while it ran this input. It was tried 3 times.",
    "segfault": "deadly: its process was ended by signal 11 (segmentation fault) while it ran this input. It was "
    "tried 3 times.",
    "kill": "deadly: its process was ended by signal 9 (killed) while it ran this input. It was tried 3 times.",
}


@pytest.mark.parametrize("how", list(WORDS))
def test_an_input_that_kills_three_containers_ends_in_that_error_and_the_others_in_their_results(
    home: Home, how: str
) -> None:
    done = home.ionian("run", "-q", "deaths.py::every_time", "--how", how, cwd=PROGRAMS)
    fails_with(
        done, f"done 19 of 20 RemoteError {WORDS[how]}", f"Error: {WORDS[how]}", "deadly.remote(7, how)"
    )


@pytest.mark.parametrize("how", list(WORDS))
def test_an_input_whose_container_died_once_is_run_again(home: Home, how: str) -> None:
    done = home.ionian("run", "-q", "deaths.py::once", "--how", how, cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout
    assert "done 20 of 20" in done.stdout


OUT_OF_MEMORY = (
    "Error: eat ran out of memory: its container reached its limit of 160 MiB. It was tried 3 times. Raise it with "
    "@app.function(memory=(request, limit)), in MiB."
)


def test_a_container_out_of_memory_says_so_with_its_limit(home: Home) -> None:
    done = home.ionian("run", "-q", "deaths.py::memory", cwd=PROGRAMS)
    fails_with(done, OUT_OF_MEMORY, "eat.remote()")


@pytest.fixture
def without_cgroups() -> Iterator[Home]:
    """A home whose worker finds no cgroups, as a plain user's finds none that it may write."""
    if os.geteuid() != 0:
        pytest.skip("only root can hide the cgroups; a plain user has none on most machines")
    with new_home() as home:
        hidden = 'umount -R -l /sys/fs/cgroup && exec "$0" server start'
        subprocess.run(["unshare", "-m", "sh", "-c", hidden, IONIAN], env=home.environment, check=True)
        yield home


def test_a_worker_without_cgroups_keeps_the_limit_too(without_cgroups: Home) -> None:
    done = without_cgroups.ionian("run", "-q", "deaths.py::memory", cwd=PROGRAMS)
    fails_with(done, OUT_OF_MEMORY, "eat.remote()")


def test_an_input_that_takes_longer_than_the_timeout_is_ended_and_the_others_go_on(home: Home) -> None:
    done = home.ionian("run", "-q", "deaths.py::timeout", cwd=PROGRAMS)
    sentence = (
        "slow ran longer than its timeout of 3 s and was ended. Raise it with @app.function(timeout=…)."
    )
    fails_with(done, f"done 19 of 20 FunctionTimeoutError {sentence}", f"Error: {sentence}", "slow.remote(3)")
    assert said(done).count(sentence) == 2
