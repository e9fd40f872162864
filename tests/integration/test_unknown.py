"""Who asks for what is not there is told what is (programs/unknown.py)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.homes import Home, new_home
from tests.integration.seen import PROGRAMS

pytestmark = [pytest.mark.container, pytest.mark.timeout(300)]

NO_CONTAINER = "ta-01JDZX0000000000000000000A"
NO_STAGE = "there is no environment 'stage'; there are: main"
NO_APP = "there is no app 'shp' in environment 'main'; there are: shop"


@pytest.fixture(scope="module")
def place() -> Iterator[Home]:
    """A home of this module's own, where one app is deployed."""
    with new_home() as made:
        deployed = made.ionian("deploy", "unknown.py", cwd=PROGRAMS)
        assert deployed.returncode == 0, deployed.stdout
        yield made


@pytest.fixture(scope="module")
def seen(place: Home) -> dict[str, Any]:
    done = place.ionian("python", "unknown.py", "use", cwd=PROGRAMS)
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("SEEN ")] or [done.stdout]
    return json.loads(line[5:])


def test_an_unknown_app_function_class_or_method_is_refused_with_those_there_are(seen: dict[str, Any]):
    assert seen["app"].startswith("NotFoundError: ")
    assert seen["app"].endswith(
        "'shp' is neither deployed nor running in environment 'main'; there are: shop"
    )
    assert seen["looked up"].endswith("there are: shop")
    assert seen["function"].endswith("app 'shop' has no function or class 'plan'; there are: plain, Model")
    assert seen["class"].endswith("app 'shop' has no function or class 'Modle'; there are: Model, plain")
    assert seen["method"] == "NotFoundError: Model has no method 'predit'; it has predict"
    assert "write modal.Cls.from_name('shop', 'Model')" in seen["class as function"]
    assert "write modal.Function.from_name('shop', 'plain')" in seen["function as class"]


def test_wrong_parameters_of_a_class_found_by_name_are_named(seen: dict[str, Any]):
    assert seen["parameter"] == "InvalidError: Model: no parameter 'nam'; there are name"
    assert seen["type"] == "InvalidError: Model(name): expected a str, got 5"


def test_an_unknown_environment_is_refused_with_those_there_are(seen: dict[str, Any]):
    for what in ("environment", "environment of a class", "environment of a deploy"):
        assert seen[what].startswith("NotFoundError: "), seen[what]
        assert seen[what].endswith(NO_STAGE)


def test_unknown_ids_are_refused_with_where_such_ids_come_from(seen: dict[str, Any]):
    for what in ("call", "call, results", "call, number", "call, cancelled", "call, graph", "calls"):
        assert seen[what].startswith("NotFoundError: there is no spawned call fc-01JDZX0000000000000000000A")
        assert "ids come from .spawn() and .spawn_map()" in seen[what]
    assert "expected the id of a spawned call, like fc-" in seen["short call id"]
    for what in ("function id", "short function id"):
        assert seen[what].startswith("NotFoundError: there is no function 'fu-")
        assert "run or deploy the app again" in seen[what]
    assert seen["index"] == "InvalidError: index: expected the number of an input, from 0 to 0, got 5"
    assert "make it with Volume.from_name('nope', create_if_missing=True)" in seen["volume"]


def test_wrong_calls_of_what_is_found_by_name_say_what_is_right(seen: dict[str, Any]):
    assert seen["items"].startswith(
        "InvalidError: starmap: expected a tuple of arguments for each input, got 5"
    )
    assert seen["generator"] == "InvalidError: plain is no generator; call plain.remote(…)"
    assert seen["autoscaler of a method"].endswith("write Model(…).update_autoscaler(…)")


@pytest.mark.parametrize(
    ("command", "said"),
    [
        (("app", "logs", "shp"), NO_APP),
        (("app", "stop", "shp", "--yes"), NO_APP),
        (("app", "history", "shp"), NO_APP),
        (("app", "rollback", "shp"), NO_APP),
        (("app", "rollover", "shp"), NO_APP),
        (("app", "logs", "ap-01JDZX0000000000000000000A"), "`ionian app list` shows those there are"),
        (("app", "rollback", "shop", "v9"), "app shop has no version v9; it has v1 only"),
        (("app", "list", "--env", "stage"), NO_STAGE),
        (("container", "list", "--env", "stage"), NO_STAGE),
        (("container", "logs", NO_CONTAINER), f"there is no container '{NO_CONTAINER}' now; "),
        (("container", "stop", NO_CONTAINER, "--yes"), f"there is no container '{NO_CONTAINER}' now; "),
        (("container", "exec", NO_CONTAINER, "--", "ls"), "`ionian container list` shows those that run"),
        (("replay", "in-01JDZX0000000000000000000A:0"), "no failed input 'in-01JDZX0000000000000000000A:0'"),
        (("deploy", "unknown.py", "--env", "stage"), NO_STAGE),
        (("deploy", "nothing.py"), "nothing.py; expected a Python file, or -m and a module's name"),
        (("deploy", "-m", "not.there"), "no module named 'not' can be found"),
        (
            ("run", "unknown.py::Model.predit"),
            "has nothing named 'Model.predit' to run; it has Model.predict, plain",
        ),
        (("run", "unknown.py::plain", "--y", "3"), "No such option '--y'. Did you mean '--x'?"),
        (
            ("run", "unknown.py::plain", "--x", "three"),
            "Invalid value for '--x': 'three' is not a valid integer",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",  # pyright: ignore[reportUnknownArgumentType]
)
def test_commands_say_what_there_is(place: Home, command: tuple[str, ...], said: str):
    done = place.ionian(*command, cwd=PROGRAMS)
    assert done.returncode != 0
    assert said in done.stdout, done.stdout
    assert "Traceback" not in done.stdout
