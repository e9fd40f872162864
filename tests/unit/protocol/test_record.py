"""Records: what a container's messages have of dataclasses."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable

import pytest

from ionian.protocol.record import field, record


@record
class Point:
    x: int
    y: int = 2
    names: list[str] = field(default_factory=list[str])
    hidden: dict[str, str] = field(default_factory=dict[str, str], repr=False)


@record
class Nothing:
    """Without a field."""


def test_fields_are_given_by_place_and_by_name_in_their_order():
    assert vars(Point(1, names=["a"])) == {"x": 1, "y": 2, "names": ["a"], "hidden": {}}
    assert list(vars(Point(names=[], x=1))) == ["x", "y", "names", "hidden"]
    assert vars(Nothing()) == {}


def test_a_default_that_can_be_changed_is_each_ones_own():
    one, other = Point(1), Point(1)
    one.names.append("a")
    assert other.names == []


def test_those_with_the_same_values_are_the_same_and_show_them():
    assert Point(1) == Point(1) != Point(2)
    assert Nothing() != Point(1)
    assert repr(Point(1, hidden={"a": "b"})) == "Point(x=1, y=2, names=[])"


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: Point(), "Point needs 'x'"),  # pyright: ignore[reportCallIssue]
        (lambda: Point(1, z=3), "'z'"),  # pyright: ignore[reportCallIssue]
        (lambda: Point(1, x=1), "'x'"),  # pyright: ignore[reportCallIssue]
        (lambda: Nothing(1), "0 fields, got 1"),  # pyright: ignore[reportCallIssue]
    ],
)
def test_wrong_fields_are_refused(make: Callable[[], object], said: str):
    with pytest.raises(TypeError, match=said):
        make()


def test_an_agent_imports_no_dataclasses():
    program = (
        "import sys, ionian.container.agent; print('dataclasses' in sys.modules or 'inspect' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, check=True)
    assert done.stdout == "False\n"
