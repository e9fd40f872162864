"""Arguments, results and exceptions that can't travel, modules that are missing, and other Pythons."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from tests.homes import Home
from tests.integration.messages import fails_with, said

PROGRAMS = Path(__file__).with_name("programs")
HERE = f"{sys.version_info[0]}.{sys.version_info[1]}"
OTHER = "3.13" if HERE == "3.11" else "3.11"

LOCK = "can't be pickled: cannot pickle '_thread.lock' object; pass plain data, and make such objects in the function"


def test_an_argument_that_cannot_be_pickled_is_named_with_its_function(home: Home) -> None:
    done = home.ionian("run", "-q", "bad_values.py::argument", cwd=PROGRAMS)
    fails_with(done, f"Error: an argument of double {LOCK}", "double.remote(threading.Lock())")


def test_an_argument_of_a_map_that_cannot_be_pickled_comes_after_the_results_before_it(home: Home) -> None:
    done = home.ionian("run", "-q", "bad_values.py::argument_of_map", cwd=PROGRAMS)
    fails_with(
        done, "result 2 result 4 Error: the argument of double, number 2 of its inputs (from 0),", LOCK
    )


def test_a_result_that_cannot_be_pickled_is_an_error_of_the_call(home: Home) -> None:
    done = home.ionian("run", "-q", "bad_values.py::result", cwd=PROGRAMS)
    fails_with(done, f"Error: the result of the function {LOCK}", "lock.remote()")


def test_an_item_of_a_generator_that_cannot_be_pickled_comes_after_those_before_it(home: Home) -> None:
    done = home.ionian("run", "-q", "bad_values.py::item", cwd=PROGRAMS)
    fails_with(done, "item 1", f"Error: an item of the generator {LOCK}")


def test_an_exception_class_of_the_container_alone_arrives_as_its_name_text_and_lines(home: Home) -> None:
    done = home.ionian("run", "-q", "bad_values.py::exception", cwd=PROGRAMS)
    fails_with(
        done,
        "ionian.exception.RemoteError: made_here.OnlyHere: made in the container",
        "could not be brought here: ModuleNotFoundError: No module named 'made_here'",
        'raise made_here.OnlyHere("made in the container") from error',
        "KeyError: 'the reason' The above exception was the direct cause of the following exception",
    )


def test_an_exception_that_holds_what_cannot_be_pickled_keeps_its_text(home: Home) -> None:
    done = home.ionian("run", "-q", "bad_values.py::exception_with_a_lock", cwd=PROGRAMS)
    fails_with(done, "RemoteError: ValueError: ('it holds a lock', <unlocked _thread.lock object")


def test_what_cannot_travel_costs_its_own_input_and_no_other(home: Home) -> None:
    done = home.ionian("run", "-q", "bad_values.py::all_go_on", cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout
    assert "caught SerializationError" in done.stdout
    assert done.stdout.count("caught RemoteError") == 2
    assert "doubled [0, 2, 4]" in done.stdout


def test_a_module_that_is_here_and_not_there_is_named_with_the_line_to_add(home: Home) -> None:
    done = home.ionian("run", "missing_module.py::missing", cwd=PROGRAMS)
    fails_with(
        done,
        "ModuleNotFoundError: No module named 'local_helper'",
        "'local_helper' is a module on this machine that the container doesn't have: add "
        ".add_local_python_source('local_helper') to the function's image.",
    )
    assert done.stdout.count("add_local_python_source('local_helper')") == 1, "the cure is said once"


def test_a_module_that_was_added_is_there(home: Home) -> None:
    done = home.ionian("run", "cured_module.py::main", cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout
    assert "helped 2" in done.stdout


def test_a_function_without_its_source_says_so(home: Home) -> None:
    done = home.ionian("run", "-q", "cured_module.py::without_source", cwd=PROGRAMS)
    fails_with(
        done,
        "No module named 'cured_module': alone is defined there, and its source did not come along: leave "
        "include_source=False away",
    )


@pytest.mark.timeout(400)  # its base is built on the first run
def test_values_and_classes_of_modules_pass_between_two_pythons_and_the_difference_is_said_before(
    home: Home,
) -> None:
    done = home.ionian("run", "other_python.py::values", cwd=PROGRAMS, timeout_s=380)
    assert done.returncode == 0, done.stdout
    text = said(done)
    warning = f"Python {OTHER} in the image, {HERE} here"
    assert warning in text
    assert text.index(warning) < text.index(f"there {OTHER} True TEXT")


@pytest.mark.timeout(400)
@pytest.mark.parametrize(("entry", "made", "runs"), [("code_there", HERE, OTHER), ("code_here", OTHER, HERE)])
def test_code_by_value_between_two_pythons_is_refused_in_a_sentence(
    home: Home, entry: str, made: str, runs: str
) -> None:
    done = home.ionian("run", "-q", f"other_python.py::{entry}", cwd=PROGRAMS, timeout_s=380)
    fails_with(done, f"Error: the value holds code made by Python {made}, which Python {runs} can't run")


@pytest.mark.timeout(400)
def test_a_serialized_function_on_another_python_is_refused_before_it_runs(home: Home) -> None:
    done = home.ionian("run", "other_python_serialized.py", cwd=PROGRAMS, timeout_s=380)
    fails_with(
        done,
        f"Error: twice goes by value, and such functions need the same Python on both sides: its image has {OTHER}, "
        f"this is {HERE}. Use Image.debian_slim(python_version='{HERE}')",
    )
