"""Functions that run while an image is built: what they leave, what runs again, and what a failure shows."""

from __future__ import annotations

import ast
import secrets
import subprocess
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.cards import offer
from tests.integration.messages import fails_with, said

PROGRAMS = Path(__file__).with_name("programs")

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


def bake(home: Home, case: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return home.ionian("python", "baking.py", case, cwd=PROGRAMS, environment=environment)


def read(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 0, done.stdout
    return next(line for line in done.stdout.splitlines() if line.startswith("READ "))[5:]


def test_a_function_that_fails_shows_its_own_traceback_and_what_it_printed(home: Home) -> None:
    done = bake(home, "fails")
    fails_with(
        done,
        "CALL divide: ended with exit code 1 dividing Traceback (most recent call last): "
        'File "/root/baking.py", line 17, in divide return 1 / by',
        "ZeroDivisionError: division by zero",
    )


@pytest.mark.parametrize(
    ("case", "sentence"),
    [
        ("late", "CALL forever: it ran for longer than its timeout of 1 s and was ended; run_function(…, timeout=) allows more"),
        ("exits", "CALL leave: ended with exit code 7 and said nothing"),
    ],
)  # fmt: skip
def test_a_function_that_does_not_come_back_fails_its_build(home: Home, case: str, sentence: str) -> None:
    fails_with(bake(home, case), sentence)


def test_only_a_function_of_which_something_changed_runs_again(home: Home) -> None:
    new = secrets.randbelow(10**9)  # images outlive test runs
    assert read(bake(home, "kept", FACTOR="1")) == "['by 1']"
    changed = bake(home, "kept", FACTOR=str(new))
    assert read(changed) == f"['by {new}']"
    assert "CALL note …" not in changed.stdout
    assert "CALL note_factor …" in changed.stdout
    assert "CALL note_factor …" not in bake(home, "kept", FACTOR=str(new)).stdout


def test_a_function_inside_another_goes_by_value(home: Home) -> None:
    assert read(bake(home, "locally")) == "['captured']"


def test_steps_of_a_build_have_the_cards_that_they_ask_for_and_nobody_else_has_them(tmp_path: Path) -> None:
    environment = offer(tmp_path, "A100-80GB", "A100-80GB", "A100-80GB")
    with new_home() as home:
        found = read(bake(home, "cards", **environment))
        many = bake(home, "many", **environment)
        unlike = bake(home, "unlike", **environment)
    assert ast.literal_eval(found) == ["['nvidia0', 'nvidia1'] 0,1", "2\n"]
    assert "no worker can build this image with the GPU that it asks for" in said(many)
    assert "the steps of an image ask for different GPUs" in said(unlike)
