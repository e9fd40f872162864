from __future__ import annotations

import inspect
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any, Literal, Optional

import click
import pytest

from ionian.cli.options import command_for

if TYPE_CHECKING:
    from decimal import Decimal


def run(function: Any, *argv: str) -> Any:
    """What the function gets from a command line: its positional and its keyword arguments."""
    got: list[Any] = []

    def record(*args: Any, **kwargs: Any) -> None:
        got.append((args, kwargs))

    command_for(function, "f", record).main(list(argv), prog_name="f", standalone_mode=False)
    args, kwargs = got[0]
    inspect.signature(function).bind(*args, **kwargs)
    return kwargs if not args else (args, kwargs)


def test_simple_types_are_converted():
    def f(text: str, count: int, ratio: float, when: datetime): ...

    got = run(f, "--text", "a b", "--count", "3", "--ratio", "0.5", "--when", "2026-11-24")
    assert got == {"text": "a b", "count": 3, "ratio": 0.5, "when": datetime(2026, 11, 24)}


def test_a_bool_is_a_pair_of_flags():
    def f(fast: bool = False, loud: bool = True): ...

    assert run(f, "--fast", "--no-loud") == {"fast": True, "loud": False}
    assert run(f) == {}


def test_what_is_not_given_is_left_to_the_functions_own_default():
    def f(a: int = 3, b: str | None = None): ...

    assert run(f) == {}
    assert run(f, "--b", "x") == {"b": "x"}


def test_an_underscore_becomes_a_dash():
    def f(batch_size: int): ...

    assert run(f, "--batch-size", "8") == {"batch_size": 8}


def test_a_literal_is_a_choice():
    def f(mode: Literal["fast", "slow"], level: Literal[1, 2] = 1): ...

    assert run(f, "--mode", "slow", "--level", "2") == {"mode": "slow", "level": 2}
    with pytest.raises(click.BadParameter):
        run(f, "--mode", "other")


def test_optional_and_annotated_types_are_those_within():
    def f(a: Optional[int] = None, b: int | None = None, c: Annotated[float, "unit"] = 0.0): ...  # noqa: UP045

    assert run(f, "--a", "1", "--b", "2", "--c", "3") == {"a": 1, "b": 2, "c": 3.0}


def test_without_an_annotation_the_default_tells_the_type():
    def f(a, b=3, c=True):  # type: ignore[no-untyped-def]
        ...

    assert run(f, "--a", "1", "--b", "4", "--no-c") == {"a": "1", "b": 4, "c": False}


def test_star_args_get_the_arguments_as_they_stand():
    def f(*args: str): ...

    assert run(f, "one", "--two", "-3") == (("one", "--two", "-3"), {})


def test_positional_only_parameters_are_options_too():
    def f(a: int, b: int = 2, /, c: int = 3): ...

    assert run(f, "--a", "1", "--c", "5") == ((1, 2), {"c": 5})


def test_a_missing_argument_is_named():
    def f(text: str): ...

    with pytest.raises(click.MissingParameter) as caught:
        run(f)
    assert "--text" in caught.value.format_message()


def test_a_required_type_that_no_option_carries_is_refused_by_name():
    def f(items: list[str]): ...

    with pytest.raises(click.UsageError, match=r"'items' of type list\[str\]"):
        run(f)


def test_an_optional_one_keeps_its_default():
    def f(items: list[str] = [], other: Decimal | None = None): ...  # noqa: B006

    assert run(f) == {}


def test_a_name_that_only_the_type_checker_knows_spoils_no_other():
    def f(count: int, price: Decimal | None = None): ...

    assert run(f, "--count", "3") == {"count": 3}


def test_help_shows_docstring_and_defaults(capsys: pytest.CaptureFixture[str]):
    def f(count: int = 3):
        """Counts to it."""

    command_for(f, "f", lambda: None).main(["--help"], prog_name="ionian run app.py", standalone_mode=False)
    shown = capsys.readouterr().out
    assert "Counts to it." in shown
    assert "--count" in shown
    assert "default: 3" in shown


@pytest.mark.parametrize("name", ["class_", "self", "help", "name", "p0"])
def test_no_parameter_name_is_in_the_way(name: str):
    namespace: dict[str, Any] = {}
    exec(f"def f({name}: int): ...", namespace)
    assert run(namespace["f"], f"--{name.replace('_', '-')}", "3") == {name: 3}
