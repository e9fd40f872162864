"""Programs that print what they saw as one line of JSON, and the tests' way to it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.homes import Home

PROGRAMS = Path(__file__).parent / "programs"


def seen_by(
    home: Home, program: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> tuple[dict[str, Any], str]:
    """Runs a program by `ionian run`; what it saw, and all that it printed."""
    done = home.ionian("run", PROGRAMS / program, *arguments, cwd=PROGRAMS, environment=environment)
    found = [line for line in done.stdout.splitlines() if line.startswith("SEEN ")]
    assert done.returncode == 0, done.stdout
    assert len(found) == 1, done.stdout
    return json.loads(found[0][5:]), done.stdout
