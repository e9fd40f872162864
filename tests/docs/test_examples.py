"""Each example runs, on a little of its input."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.docs.pages import ROOT
from tests.homes import Home

EXAMPLES = ROOT / "examples"

ENTRY_POINTS = ["embed_documents.py"]
"""Each has a test below; what else lies in examples/ is imported by these."""

TEXT = """
A baker mixes flour, water, salt and yeast, lets the dough rise for some hours in a warm place, and bakes the bread
in a very hot oven until its crust is brown; a pan of hot water in the oven makes the crust thin and crisp.

The tail command prints the last lines of a file, ten of them unless it is told otherwise; with the option -f it goes
on and prints what is appended while the file grows, which is how people watch the log of a program that runs.

A mutex is a lock that one thread holds at a time: another thread that asks for it waits until the first one lets it
go; two threads that each hold one lock and ask for the other's wait for ever, and that is called a deadlock.
"""


def test_every_example_has_a_test() -> None:
    programs = [path.name for path in EXAMPLES.glob("*.py") if "modal.App(" in path.read_text()]
    assert sorted(programs) == sorted(ENTRY_POINTS)


@pytest.mark.container
@pytest.mark.timeout(400)
def test_documents_of_a_folder_are_embedded_and_the_nearest_is_found(home: Home, tmp_path: Path) -> None:
    (tmp_path / "texts.txt").write_text(TEXT)
    done = home.ionian("run", EXAMPLES / "embed_documents.py", "--folder", tmp_path, timeout_s=390)
    assert done.returncode == 0, done.stdout
    assert "Embedded 3 documents" in done.stdout
    answer = done.stdout.partition("last lines of a file")[2].strip().splitlines()[1]
    assert "The tail command" in answer, done.stdout
