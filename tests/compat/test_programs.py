"""Programs written for Modal run unmodified."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.homes import Home

PROGRAMS = Path(__file__).parent / "programs"


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "command",
    [
        ("run", "baked.py"),
        ("run", "calls.py", "--times", "100", "--loud"),
        ("run", "classes.py"),
        ("run", "class_rows.py"),
        ("run", "clustered.py"),
        ("run", "dockerfiles.py"),
        ("run", "environments.py"),
        ("run", "failures.py"),
        ("run", "images_by_name.py"),
        ("run", "inputs.py"),
        ("run", "measured.py"),
        ("run", "neighbours.py"),
        ("run", "options.py::main"),
        ("run", "options.py::other", "--n", "4", "--name", "somebody", "--no-fast", "--ratio", "1.5"),
        ("run", "restricted.py"),
        ("run", "python_tools.py"),
        ("run", "shared.py"),
        ("run", "secrets_by_name.py"),
        ("run", "spawned.py", "--times", "2000"),
        ("run", "varied.py"),
        ("run", "volumes_in_full.py"),
        ("python", "script.py"),
    ],
    ids=[
        "baked",
        "calls",
        "classes",
        "class_rows",
        "clustered",
        "dockerfiles",
        "environments",
        "failures",
        "images_by_name",
        "inputs",
        "measured",
        "neighbours",
        "options",
        "entrypoint",
        "restricted",
        "python_tools",
        "shared",
        "secrets_by_name",
        "spawned",
        "varied",
        "volumes_in_full",
        "script",
    ],
)
def test_a_program_written_for_modal_runs_unmodified(command: tuple[str, ...], home: Home) -> None:
    done = home.ionian(*command, cwd=PROGRAMS, timeout_s=280)
    assert done.returncode == 0, done.stdout
    assert "all as expected" in done.stdout.splitlines(), done.stdout
    assert "it failed" not in done.stdout.splitlines()
    assert done.stdout.count("the end") == (1 if "script.py" in command else 0)
