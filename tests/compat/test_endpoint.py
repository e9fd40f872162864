"""The program of the mission with a web endpoint, a schedule and a secret deploys as a user of Modal wrote it."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

from tests.homes import Home, new_home

PROGRAM = Path(__file__).with_name("programs") / "endpoint.py"

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture
def place() -> Iterator[Home]:
    with new_home() as made:
        yield made


def test_the_endpoint_program_deploys_unmodified_and_answers_at_the_address_that_was_printed(
    place: Home,
) -> None:
    done = place.ionian("deploy", PROGRAM, timeout_s=250)
    assert done.returncode == 0, done.stdout
    found = re.search(r"web function generate => (\S+)", done.stdout)
    assert found is not None, done.stdout
    request = Request(
        found[1], json.dumps({"prompt": "world"}).encode(), {"Content-Type": "application/json"}
    )
    with urlopen(request, timeout=60) as answer:
        assert json.load(answer) == {"response": "hello world"}
    assert "refresh" in done.stdout
    assert "runs next at" in done.stdout
