"""Functions of a deployed app by their names and ids, and with other options (programs/looked_up.py)."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.homes import Home
from tests.integration.seen import PROGRAMS

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def seen(home: Home) -> dict[str, Any]:
    file = PROGRAMS / "looked_up.py"
    deployed = home.ionian("deploy", file, cwd=PROGRAMS)
    assert deployed.returncode == 0, deployed.stdout
    done = home.ionian("python", file, "use", cwd=PROGRAMS)
    assert done.returncode == 0, done.stdout
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SEEN ")]
    stopped = home.ionian("app", "stop", "looked-up", "--yes")
    assert stopped.returncode == 0, stopped.stdout
    return json.loads(line[5:])


def test_a_function_is_called_by_the_name_of_its_app_and_its_own(seen: dict[str, Any]):
    assert (seen["plain"]["colour"], seen["plain"]["size"]) == ("red", "7")
    assert seen["spawned"] == "red"
    assert seen["generator"] == [0, 1, 2]
    assert seen["in a container"] == [0, 1, 2, 3]


def test_a_function_is_called_by_its_id(seen: dict[str, Any]):
    assert seen["by id"] == "red"
    assert seen["by id, generator"] == [0, 1]


def test_other_options_make_containers_of_their_own(seen: dict[str, Any]):
    varied = seen["varied"]
    assert (varied["colour"], varied["size"], varied["secret"], varied["volume"]) == ("blue", "7", "t", True)
    assert varied["container"] != seen["plain"]["container"]
    assert seen["concurrent"] == "red"


def test_options_of_a_variant_are_added_to_those_that_it_has(seen: dict[str, Any]):
    again = seen["varied again"]
    assert (again["colour"], again["size"], again["secret"], again["volume"]) == ("blue", "8", "t", True)


def test_the_autoscaler_is_set_while_the_function_runs(seen: dict[str, Any]):
    assert seen["settings"] == [1, 3, 0, 30.0]
    assert seen["stats"] == [0, True]


def test_the_retired_lookup_works_and_warns(seen: dict[str, Any]):
    assert seen["lookup"] == "red"
    assert seen["warned"] == ["modal.Function.lookup is retired; write modal.Function.from_name"]


def test_what_is_not_there_is_refused_with_what_is(seen: dict[str, Any]):
    assert seen["no app"].startswith("NotFoundError")
    assert "looked-up" in seen["no app"]
    assert seen["no function"].startswith("NotFoundError")
    assert "describe" in seen["no function"]
    assert seen["unknown id"].startswith("NotFoundError")
