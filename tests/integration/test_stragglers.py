"""Inputs that take long, with many quick ones behind them."""

from __future__ import annotations

import secrets
from pathlib import Path

import pytest
from tests.homes import Home

PROGRAMS = Path(__file__).with_name("programs")
INPUTS = 20_000


@pytest.mark.timeout(180)
def test_a_slow_first_input_holds_up_none_of_those_behind_it_though_results_come_in_order(home: Home) -> None:
    arguments = ("--inputs", str(INPUTS), "--mark", secrets.token_hex(4))
    done = home.ionian(
        "run", "-q", "stragglers.py::waits_for_all_others", *arguments, cwd=PROGRAMS, timeout_s=170
    )
    assert done.returncode == 0, done.stdout
    assert "in order True" in done.stdout


def test_all_that_was_given_ahead_behind_an_input_of_an_hour_is_run_elsewhere_and_a_break_ends_it(
    home: Home,
) -> None:
    done = home.ionian("run", "-q", "stragglers.py::an_hour", cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout
    assert "others True" in done.stdout


def test_inputs_that_wait_for_each_other_run_at_once_though_their_function_was_quick(home: Home) -> None:
    done = home.ionian("run", "-q", "stragglers.py::three_meet", "--mark", secrets.token_hex(4), cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout
    assert "met [True, True, True]" in done.stdout
