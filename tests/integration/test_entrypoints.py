"""The entrypoint of an image starts what runs in its containers, or says why it does not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.homes import Home
from tests.integration.test_templates import call, starts, template_of, with_templates

pytestmark = [pytest.mark.container, pytest.mark.timeout(240)]


@pytest.fixture(scope="module")
def home() -> Iterator[Home]:
    """With the functions of programs/entrypoint.py deployed."""
    with with_templates("entrypoint.py") as made:
        yield made


def seen(home: Home, times: int) -> list[list[str]]:
    return call(home, "seen", 1, times=times, app="entrypoint")


def test_an_entrypoint_starts_the_container_and_what_it_exports_is_there(home: Home) -> None:
    (found,) = seen(home, 1)
    assert found[:4] == ["image and secret", "not there", "/srv", "once\n"]
    assert found[5] == "plain"
    logs = home.ionian("app", "logs", "entrypoint", "--function", "seen").stdout
    assert "started by /start.sh with word" in logs


def test_forks_of_a_template_have_what_its_entrypoint_did_once(home: Home) -> None:
    template_of(home, "seen")
    first, second = seen(home, 2)
    assert first[:4] == second[:4] == ["image and secret", "not there", "/srv", "once\n"]
    assert first[4] != second[4]
    assert any("template" in line for line in starts(home, "entrypoint", "seen"))


def test_an_entrypoint_that_starts_a_process_runs_in_each_container(home: Home) -> None:
    (names,) = call(home, "with_neighbour", app="entrypoint")
    assert "sleep" in names
    template_of(home, "with_neighbour", "UNFIT the entrypoint of its image leaves a process running")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("beside", 'starts what it is given beside itself; it must end with exec "$@"'),
        (
            "gives_up",
            "ended with exit code 3 (the image's entrypoint ['/start.sh', 'word'] must end with exec",
        ),
        ("missing", "the image's entrypoint ['/nothing.sh'] can't be run: No such file or directory"),
    ],
)
def test_an_entrypoint_that_does_not_start_the_container_is_named(home: Home, name: str, said: str) -> None:
    done = home.python("-c", f"import ionian; ionian.Function.from_name('entrypoint', {name!r}).remote()")
    assert done.returncode != 0
    assert said in done.stdout, done.stdout
