"""What an argument must be."""

from __future__ import annotations

import pytest

import ionian
from ionian.exception import InvalidError


@pytest.mark.parametrize(
    "name", ["cache", "a", "A.b-c_9", "x" * 64, "ap-short", "my-very-long-name-of-a-volume-1"]
)
def test_a_name_is_letters_digits_dashes_dots_and_underscores(name: str) -> None:
    assert ionian.Volume.from_name(name).name == name


@pytest.mark.parametrize(
    "name", ["", "a b", "ä", "x" * 65, "a/b", "ap-01ARZ3NDEKTSV4RRFFQ69G5FAV", "a\n", 5, None]
)
def test_another_name_is_refused(name: str) -> None:
    with pytest.raises(InvalidError, match="name: expected a name of 1 to 64 characters"):
        ionian.Volume.from_name(name)


def test_an_environment_is_named_like_an_object() -> None:
    assert ionian.Volume.from_name("v", environment_name="dev").environment_name == "dev"
    with pytest.raises(InvalidError, match="environment_name"):
        ionian.Volume.from_name("v", environment_name="d e v")
