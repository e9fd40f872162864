"""When the containers of a class end their @exit hooks run to their end (programs/ends_of_classes.py)."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.seen import PROGRAMS

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

PROGRAM = "ends_of_classes.py"
LONGEST_S = 60.0


@pytest.fixture(scope="module")
def place() -> Iterator[Home]:
    """A home of this module's own, where the class is deployed."""
    with new_home() as made:
        deploy(made, "1")
        yield made


def deploy(home: Home, version: str) -> None:
    done = home.ionian("deploy", PROGRAM, cwd=PROGRAMS, environment={"VERSION": version})
    assert done.returncode == 0, done.stdout


def use(home: Home, *names: str) -> None:
    """Calls the class with these parameters, a container for each."""
    done = home.ionian("python", PROGRAM, *names, cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout


def ended(home: Home, name: str, *, lines: int = 2) -> list[str]:
    """What the hook of the containers with this parameter left, once it has so many lines."""
    until = time.monotonic() + LONGEST_S
    while True:
        found = [path for path in home.folder.glob("volumes/*/*") if path.name == name]
        text = Path(found[0]).read_text().splitlines() if found else []
        if len(text) >= lines or time.monotonic() > until:
            return text
        time.sleep(0.05)


def test_exit_hooks_run_where_a_container_is_not_needed_any_more(place: Home):
    use(place, "scaledown")
    assert ended(place, "scaledown") == ["begins after 1", "ends on version 1"]


def test_the_hooks_of_a_killed_container_do_not_run_and_those_of_the_next_do(place: Home):
    use(place, "killed")
    deploy(place, "2")
    assert ended(place, "killed") == ["begins after 1", "ends on version 1"]


def test_exit_hooks_run_on_their_version_at_a_deploy_and_at_the_end_of_the_app(place: Home):
    deploy(place, "3")
    use(place, "deployed")
    deploy(place, "4")
    assert ended(place, "deployed") == ["begins after 1", "ends on version 3"]
    use(place, "stopped")
    stopped = place.ionian("app", "stop", "ends-of-classes", "--yes")
    assert stopped.returncode == 0, stopped.stdout
    assert ended(place, "stopped") == ["begins after 1", "ends on version 4"]


def test_a_run_ends_when_its_exit_hooks_have(home: Home):
    done = home.ionian("run", PROGRAM, cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout
    (found,) = [path for path in home.folder.glob("volumes/*/run") if "begins" in path.read_text()]
    assert found.read_text().splitlines() == ["begins after 1", "ends on version 1"]
