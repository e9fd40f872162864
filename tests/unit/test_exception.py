"""The tree of exceptions, as the top of the module draws it."""

from __future__ import annotations

import builtins
import pickle
import re

import pytest

from ionian import exception

CLASSES = [
    value
    for value in vars(exception).values()
    if isinstance(value, type) and value.__module__ == exception.__name__
]


def test_a_timeout_is_a_built_in_timeout_too() -> None:
    assert issubclass(exception.FunctionTimeoutError, exception.TimeoutError)
    assert issubclass(exception.TimeoutError, builtins.TimeoutError)
    assert issubclass(exception.TimeoutError, exception.Error)


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_the_drawing_names_every_class(kind: type) -> None:
    drawn = exception.__doc__ or ""
    family = re.search(r"SandboxFilesystem\{([^}]*)\}", drawn)
    assert family is not None
    members = {f"SandboxFilesystem{name.strip(' │')}Error" for name in re.split(r"[,\n]", family[1])}
    assert re.search(rf"\b{kind.__name__}\b", drawn) or kind.__name__ in members


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_an_exception_travels_with_its_text(kind: type[BaseException]) -> None:
    copy = pickle.loads(pickle.dumps(kind("what happened")))
    assert type(copy) is kind
    assert str(copy) == "what happened"


def test_a_failed_build_travels_with_the_id_of_its_image() -> None:
    copy = pickle.loads(pickle.dumps(exception.ImageBuildError("failed", "im-1")))
    assert (str(copy), copy.image_id) == ("failed", "im-1")


def test_what_ends_an_input_passes_except_exception() -> None:
    assert not issubclass(exception.InputCancellation, Exception)
