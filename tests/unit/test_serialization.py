"""Values and failures as bytes, and back."""

from __future__ import annotations

import enum
import pickle
import traceback
from dataclasses import dataclass
from typing import Any, NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionian.exception import DeserializationError, RemoteError, SerializationError
from ionian.serialization import dump_failure, dumps, load_failure, loads

plain = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.tuples(inner, inner),
    max_leaves=20,
)


@given(plain)
def test_plain_values_come_back_equal(value: Any):
    assert loads(dumps(value)) == value


class Color(enum.Enum):
    RED = 1


class Point(NamedTuple):
    x: int
    y: int


@dataclass
class Document:
    text: str
    color: Color

    class Part:
        pass


class Custom(Exception):
    def __init__(self, code: int) -> None:
        super().__init__(f"code {code}")
        self.code = code


class Unhappy(Exception):
    """Its pickle can't be read again: `__init__` wants what `args` doesn't hold."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__("both")


def test_values_of_classes_of_a_module_come_back_as_those_classes():
    value = [Document("a", Color.RED), Point(1, 2), Document.Part]
    assert loads(dumps(value)) == value


def test_lambdas_and_local_classes_go_by_value():
    class Local:
        number = 3

    assert loads(dumps(lambda n: n + 1))(1) == 2  # pyright: ignore[reportUnknownLambdaType]
    assert loads(dumps(Local())).number == 3


def test_what_cannot_be_pickled_is_named():
    with pytest.raises(SerializationError, match=r"an argument of f can't be pickled: .*generator"):
        dumps((n for n in range(3)), "an argument of f")


def test_a_module_that_is_missing_here_is_named():
    data = dumps(Color.RED).replace(__name__.encode(), b"x" * len(__name__))
    with pytest.raises(DeserializationError, match="which is not installed here"):
        loads(data)


def test_junk_is_refused_as_such():
    with pytest.raises(DeserializationError, match="can't be unpickled here"):
        loads(b"\x80\x04junk")


def failed(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except BaseException as raised:
        return raised


def test_an_exception_comes_back_as_its_own_type_with_its_attributes():
    given = failed(KeyError("k"))
    given.code = 7  # type: ignore[attr-defined]
    error = load_failure(dump_failure(given))
    assert (type(error), error.args, error.code) == (KeyError, ("k",), 7)  # type: ignore[attr-defined]


def test_an_exception_that_cannot_be_rebuilt_comes_as_a_remote_error_that_says_so():
    error = load_failure(dump_failure(failed(Unhappy(1, 2))))
    assert type(error) is RemoteError
    assert str(error).endswith("Unhappy: both")
    assert "could not be brought here" in error.__notes__[0]


def test_an_exception_of_a_class_that_is_missing_here_keeps_its_name_and_text():
    failure = pickle.loads(dump_failure(failed(Custom(7))))
    failure["exception"] = failure["exception"] and failure["exception"].replace(b"Custom", b"Missin")
    error = load_failure(pickle.dumps(failure))
    assert type(error) is RemoteError
    assert "Custom: code 7" in str(error)


def test_causes_contexts_and_notes_come_along():
    first = KeyError("deep")
    error = failed(ValueError("top"), failed(first))
    error.add_note("by the way")
    again = load_failure(dump_failure(error))
    assert repr(again.__cause__) == "KeyError('deep')"
    assert again.__notes__ == ["by the way"]


def test_the_traceback_shows_the_lines_of_where_it_was_raised_and_hides_ours():
    data = dump_failure(failed(ValueError("here")), where="ta-1")
    text = "".join(traceback.format_exception(load_failure(data)))
    assert f'File "<ta-1>:{__file__}"' in text
    assert "in failed" in text
    assert "raise error from cause" in text
    hidden = load_failure(dump_failure(failed(ValueError("here")), hide=__file__))
    assert traceback.extract_tb(hidden.__traceback__) == []


def test_an_exception_whose_text_fails_comes_back_all_the_same():
    class Mute(Exception):
        def __str__(self) -> str:
            raise RuntimeError("no text")

    error = load_failure(dump_failure(failed(Mute())))
    assert isinstance(error, Exception)
