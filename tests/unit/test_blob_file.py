"""A blob as a file."""

from __future__ import annotations

from typing import Any

import pytest

from ionian.blob_file import AT_A_TIME, open_blob
from ionian.exception import ConnectionError
from ionian.serialization import dumps, load


class Link:
    def __init__(self, content: bytes) -> None:
        self.content = content
        self.asked: list[int] = []

    def read_blob(self, digest: str, at: int, size: int) -> bytes:
        assert digest == "digest"
        self.asked.append(size)
        return self.content[at : at + size]


def opened(content: bytes, size: int) -> tuple[Any, Link]:
    link = Link(content)
    return open_blob(link, "digest", size), link  # type: ignore[arg-type]


def test_a_blob_is_read_in_parts_up_to_its_end():
    content = bytes(range(256)) * 10_000
    file, link = opened(content, len(content))
    assert file.read(len(content)) == content
    assert len(link.asked) <= 4
    assert max(link.asked) == AT_A_TIME


def test_a_value_is_unpickled_from_it():
    value = {"large": bytes(3 << 20), "text": "x" * (2 << 20), "small": [1, None]}
    content = dumps(value)
    assert load(opened(content, len(content))[0]) == value


def test_one_that_ends_too_early_says_so_and_is_no_bad_pickle():
    content = dumps(bytes(3 << 20))
    file, _ = opened(content[: 1 << 20], len(content))
    with pytest.raises(ConnectionError, match=r"has only 1,048,576 of the 3,\d+,\d+ bytes"):
        load(file)
