"""What of deploys is refused where it is written, and how apps are put together. Real deploys: tests/integration."""

from __future__ import annotations

from typing import Any

import pytest

import ionian
from ionian.exception import ExecutionError, InvalidError


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"name": "a b"}, "name: expected a name of 1 to 64"),
        ({"name": "x" * 65}, "name: expected a name of 1 to 64"),
        ({"name": ""}, "name: expected a name of 1 to 64"),
        ({"tag": "x" * 51}, "tag: expected up to 50 characters"),
        ({"tag": "a b"}, "tag: expected up to 50 characters"),
        ({"tag": None}, "tag: expected up to 50 characters"),
        ({"strategy": "blue-green"}, 'strategy: expected "rolling" or "recreate"'),
        ({"environment_name": "a/b"}, "environment_name: expected a name"),
    ],
)
def test_a_wrong_argument_of_a_deploy_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        ionian.App("app").deploy(**given)


def test_an_app_without_a_name_is_not_deployed() -> None:
    with pytest.raises(InvalidError, match="name: a deployed app needs one"):
        ionian.App().deploy()


def test_an_app_that_runs_is_not_deployed_meanwhile() -> None:
    app = ionian.App("app")
    app.is_running = True
    with pytest.raises(InvalidError, match="'app' runs already"):
        app.deploy()
    assert app.is_running


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"name": "a b"}, "name: expected a name"),
        ({"name": "a", "create_if_missing": 1}, "create_if_missing: expected True or False"),
        ({"name": "a", "environment_name": 3}, "environment_name: expected a name"),
    ],
)
def test_a_wrong_argument_of_a_lookup_is_refused(given: dict[str, Any], text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        ionian.App.lookup(**given)


def test_an_app_that_is_nowhere_has_nothing_to_stop_or_tag() -> None:
    app = ionian.App("app")
    for call in (app.stop, app.get_tags, lambda: app.set_tags({"a": "1"})):
        with pytest.raises(ExecutionError, match="'app' neither runs nor is deployed here"):
            call()
    with pytest.raises(InvalidError, match="tags: expected a dictionary"):
        app.set_tags(3)  # type: ignore[arg-type]


def f() -> None: ...


def g() -> None: ...


def test_an_app_takes_the_functions_classes_and_tags_of_another() -> None:
    image = ionian.Image.debian_slim().env({"A": "1"})
    other = ionian.App("other", image=image, tags={"a": "1", "b": "1"})
    theirs = other.function()(f)

    class Model:
        @ionian.method()
        def run(self) -> None: ...

    model: Any = other.cls(serialized=True)(Model)
    app = ionian.App("app", tags={"b": "2"})
    own = app.function()(g)
    assert app.include(other) is app
    assert app.registered_functions["f"] is theirs
    assert app.registered_functions["g"] is own
    assert app.registered_classes["Model"] is model
    assert "Model.*" in app.registered_functions
    assert app.tags == {"a": "1", "b": "2"}
    assert theirs.image is image
    assert ionian.App("bare").include(other, inherit_tags=False).tags == {}


def test_an_app_includes_apps_alone() -> None:
    with pytest.raises(InvalidError, match=r"other_app: expected a modal\.App, got 'other'"):
        ionian.App("app").include("other")  # type: ignore[arg-type]


def test_another_function_of_a_name_that_is_taken_is_warned_of() -> None:
    app, other = ionian.App("app"), ionian.App("other")
    app.function(name="same")(f)
    other.function(name="same")(g)
    with pytest.warns(UserWarning, match="two functions named 'same'"):
        app.include(other)
