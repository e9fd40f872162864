"""One template that is long in the making holds up no other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.homes import Home, new_home
from tests.integration.test_templates import call, template_of

pytestmark = [pytest.mark.container, pytest.mark.timeout(240)]

PROGRAMS = Path(__file__).with_name("programs")


@pytest.fixture
def home(monkeypatch: pytest.MonkeyPatch) -> Iterator[Home]:
    monkeypatch.setenv("IONIAN_TEMPLATES", "on")
    with new_home() as made:
        yield made


def test_a_handler_of_forks_that_hangs_holds_up_no_other_function(home: Home) -> None:
    for program in ("stuck.py", "threaded.py"):
        deployed = home.ionian("deploy", program, cwd=PROGRAMS)
        assert deployed.returncode == 0, deployed.stdout
    template_of(home, "f", "UNFIT")  # it has a thread, and the answer is there
    assert "function=stuck state=" not in (home.folder / "logs" / "worker.log").read_text()
    assert call(home, "stuck", 1, app="stuck") == [2]
    template_of(home, "stuck", "UNFIT")
    told = home.ionian("app", "logs", "stuck", "--source", "system").stdout
    assert (
        "each container of stuck starts on its own, not from a template: its import registers what hangs in the child of a "
        "fork" in told
    )
