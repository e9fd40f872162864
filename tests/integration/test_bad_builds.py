"""Images that can't be built: what is wrong is said, with the last lines of the step, and nothing half-built stays."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.homes import Home
from tests.integration.messages import fails_with, said

PROGRAMS = Path(__file__).with_name("programs")

SENTENCES = {
    "package": "Error: pip_install: there is no package 'no-such-package-of-ionian' in the package index that this worker "
    "uses. Check the name; for an index of your own, give index_url= or extra_index_url=",
    "version": "Error: pip_install click==0.0.99: ended with exit code 1 error: No solution found when resolving",
    "command": "exit 3: ended with exit code 3",
    "apt": "Error: APT no-such-package-of-debian: ended with exit code 100",
    "file": "Error: local_path: expected a file here, found none at",
}


@pytest.mark.parametrize("which", list(SENTENCES))
def test_an_image_that_cannot_be_built_says_why_at_the_line_that_needs_it(home: Home, which: str) -> None:
    done = home.ionian("python", "-q", "bad_builds.py", which, cwd=PROGRAMS)
    fails_with(done, SENTENCES[which])


def test_a_command_that_fails_shows_its_last_lines_and_not_its_first(home: Home) -> None:
    done = home.ionian("python", "-q", "bad_builds.py", "command", cwd=PROGRAMS)
    fails_with(done, "line 60 ls: cannot access '/no/such/folder': No such file or directory")
    assert "line 10 " not in said(done)
