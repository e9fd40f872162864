"""Parameters of classes: their types, and their values as text."""

from __future__ import annotations

import sys
from typing import Any

import pytest

import ionian
from ionian.exception import InvalidError
from ionian.parameters import bound, decoded, encoded, of_class
from ionian.protocol.spec import ParameterSpec


def test_parameters_are_read_with_their_types_bases_first():
    class Base:
        size: int = ionian.parameter(default=1)

    class Model(Base):
        name: str = ionian.parameter()
        on: bool = ionian.parameter(default=True)
        data: bytes = ionian.parameter(default=b"")

    found = of_class(Model)
    assert {name: (p.type, p.has_default) for name, p in found.items()} == {
        "size": ("int", True),
        "name": ("str", False),
        "on": ("bool", True),
        "data": ("bytes", True),
    }


def test_a_subclass_can_settle_a_parameter():
    class Base:
        size: int = ionian.parameter()

    class Small(Base):
        size = 1  # type: ignore[assignment]

    assert of_class(Small) == {}


def test_an_annotation_may_be_an_alias_of_a_type(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys.modules[__name__], "Text", str, raising=False)

    class Model:
        name: Text = ionian.parameter()  # type: ignore[name-defined]  # noqa: F821

    assert of_class(Model)["name"].type == "str"


def test_a_parameter_needs_an_annotation():
    class Model:
        name = ionian.parameter()

    with pytest.raises(
        InvalidError, match=r"Model.name: a parameter needs a type: write `name: str = modal.parameter\(\)`"
    ):
        of_class(Model)


def test_a_parameter_of_another_type_is_refused():
    class Model:
        rate: float = ionian.parameter()

    with pytest.raises(
        InvalidError,
        match=r"Model\.rate: expected one of the types str, int, bool, bytes for a parameter, got float",
    ):
        of_class(Model)


def test_a_default_has_the_type():
    class Model:
        size: int = ionian.parameter(default="7")

    with pytest.raises(InvalidError, match=r"Model\.size: expected its default to be an int, got '7'"):
        of_class(Model)


def test_without_init_it_is_an_attribute():
    class Model:
        cache: dict[str, int] = ionian.parameter(default=None, init=False)

        @ionian.method()
        def show(self) -> Any:
            return self.cache

    model = ionian.App().cls(serialized=True)(Model)
    assert model().show.local() is None
    with pytest.raises(InvalidError, match="no parameter 'cache'; the class has none"):
        model(cache={})  # type: ignore[call-arg]


def test_the_same_values_have_the_same_text():
    assert encoded({"a": "x", "b": "x"}) == encoded({"b": "".join(["x"]), "a": "".join(["x"])})
    assert decoded(encoded({"a": 1, "b": b"\0", "c": True})) == ((), {"a": 1, "b": b"\0", "c": True})
    assert decoded("") == ((), {})


def test_values_of_a_subtype_become_plain():
    class Text(str): ...

    values = bound(
        "Model", [ParameterSpec("a", "str"), ParameterSpec("b", "int")], (), {"a": Text("x"), "b": True}
    )
    assert [type(value) for value in values.values()] == [str, int]


def test_init_is_true_or_false():
    with pytest.raises(InvalidError, match="init: expected True or False"):
        ionian.parameter(init=1)  # type: ignore[arg-type]
