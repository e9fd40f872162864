from __future__ import annotations

from types import ModuleType
from typing import Any

import click
import pytest

import ionian
from ionian.cli.deploy import next_steps
from ionian.cli.reference import Reference, find_app
from ionian.client.deploy import Deployed


def module(**names: Any) -> ModuleType:
    made = ModuleType("made")
    vars(made).update(names)
    return made


def find(name: str = "", **names: Any) -> Any:
    return find_app(module(**names), Reference("made.py", name, False))


def test_the_app_is_the_one_that_is_named_else_app_else_the_only_one() -> None:
    one, two = ionian.App("one"), ionian.App("two")
    assert find("two", one=one, two=two) is two
    assert find(app=one, two=two) is one
    assert find(two=two, n=3) is two
    assert find(one=one, same=one) is one


def test_an_app_that_can_not_be_told_is_refused_with_the_choices() -> None:
    one, two = ionian.App("one"), ionian.App("two")
    with pytest.raises(click.UsageError, match=r"(?s)several apps.*ionian deploy made.py::one\n.*::two"):
        find(one=one, two=two)
    with pytest.raises(click.UsageError, match="no app named 'three'; its apps: one, two"):
        find("three", one=one, two=two)
    with pytest.raises(click.UsageError, match="defines no app at its top"):
        find(n=3)


def test_next_steps_say_how_each_function_is_called_and_when_it_runs() -> None:
    app = ionian.App("app")

    @app.function(serialized=True, name="square")
    def square(n: int) -> int:  # pyright: ignore[reportUnusedFunction]
        return n * n

    @app.cls(serialized=True)
    class Model:  # pyright: ignore[reportUnusedClass]
        @ionian.method()
        def run(self) -> None: ...

    deployed = Deployed("ap-1", "mine", "main", 1, True, 0.1, {"square": 0.0})
    lines = next_steps(app, deployed).splitlines()
    assert lines[0] == '  square  modal.Function.from_name("mine", "square")'
    assert lines[1] == '  Model   modal.Cls.from_name("mine", "Model")'
    assert lines[2].startswith("  square  runs next at 19")
    assert lines[3] == "Logs: ionian app logs mine"


def test_next_steps_of_many_functions_are_few_lines() -> None:
    app = ionian.App("app")
    for number in range(30):
        app.function(serialized=True, name=f"f{number}")(lambda: None)
    lines = next_steps(app, Deployed("ap-1", "mine", "main", 1, True, 0.1, {})).splitlines()
    assert len(lines) == 22
    assert lines[-2:] == ["  … and 10 more", "Logs: ionian app logs mine"]
