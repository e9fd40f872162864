"""Every program and every command of the docs is run, and prints what the page says."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, all_pages, matches, read
from tests.homes import Home

RUNNABLE = [path for path in all_pages() if read(path).commands]


@pytest.mark.timeout(400)
@pytest.mark.parametrize("path", RUNNABLE, ids=lambda path: path.stem)
def test_what_a_page_shows_works(path: Path, home: Home, tmp_path: Path) -> None:
    page = read(path)
    for name, program in page.programs.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(program)
    bin_folder = Path(sys.executable).parent
    environment = {**home.environment, "PATH": f"{bin_folder}:{os.environ['PATH']}"}
    for command in page.commands:
        done = subprocess.run(
            ("bash", "-c", command.line),
            cwd=tmp_path,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"$ {command.line}\n{done.stdout}"
        assert matches(command.output, done.stdout), (
            f"$ {command.line}\nexpected the lines of {path.name}:\n"
            + "\n".join(command.output)
            + f"\n\ngot:\n{done.stdout}"
        )


@pytest.mark.parametrize("path", all_pages(), ids=lambda path: path.stem)
def test_links_between_pages_lead_somewhere(path: Path) -> None:
    import re

    for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text()):
        if "://" not in target:
            assert (path.parent / target).exists(), f"{path.name}: expected a file at {target}"


def test_every_program_of_the_docs_is_run_by_a_command() -> None:
    for path in all_pages():
        page = read(path)
        for name in page.programs:
            stem = Path(name).stem
            used = any(name in command.line or stem in command.line for command in page.commands) or any(
                f"import {stem}" in other or f"from {stem}" in other for other in page.programs.values()
            )
            assert used, f"{path.relative_to(ROOT)}: no command runs {name}"
