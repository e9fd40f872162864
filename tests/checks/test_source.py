"""The source itself: formatted, linted, typed, and free of what belongs to one machine."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent

FOREIGN = ("/".join(("", "work", "")), "/".join(("", "opt", "wheels")), ".".join(("pypi", "org")))
"""Paths of a developer's machine and hosts of package registries: spelled in parts, so this file may exist."""


def run(*command: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)


def tracked() -> list[Path]:
    """The files that a commit would hold; those of the folder where this is no git checkout."""
    listed = run("git", "ls-files", "-co", "--exclude-standard")
    if listed.returncode == 0:
        return [ROOT / line for line in listed.stdout.splitlines() if (ROOT / line).is_file()]
    hidden = (".venv", "build", "__pycache__", ".git")
    return [p for p in ROOT.rglob("*") if p.is_file() and not any(part in hidden for part in p.parts)]


def test_the_code_is_formatted() -> None:
    result = run(BIN / "ruff", "format", "--check", "--no-cache")
    assert result.returncode == 0, result.stdout + result.stderr


def test_the_linter_finds_nothing() -> None:
    result = run(BIN / "ruff", "check", "--no-cache")
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.timeout(300)
def test_the_types_are_right() -> None:
    result = run(BIN / "pyright")
    assert result.returncode == 0, result.stdout + result.stderr


def test_every_script_is_valid_and_may_be_executed() -> None:
    for script in [*(ROOT / "script").iterdir(), ROOT / ".ci" / "run"]:
        assert script.stat().st_mode & 0o111, f"expected {script} to be executable"
        first = script.read_text().partition("\n")[0]
        if first.endswith("sh"):
            result = run("bash", "-n", script)
            assert result.returncode == 0, result.stderr


def test_nothing_names_one_machine_or_a_package_registry() -> None:
    found: list[str] = []
    for path in tracked():
        try:
            text = path.read_text()
        except UnicodeDecodeError:
            continue
        found += [f"{path.relative_to(ROOT)}: {word}" for word in FOREIGN if word in text]
    assert not found, "\n".join(found)
