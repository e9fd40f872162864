"""Dicts and queues before they ask a server for anything: arguments, and what makes two keys one."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, NamedTuple

import pytest

import ionian
from ionian.dict_key import digest
from ionian.exception import DeprecationError, InvalidError, RequestSizeError, SerializationError
from ionian.steps import run
from ionian.stored_value import check_key, stored

d: Any = ionian.Dict.from_name("d")
q: Any = ionian.Queue.from_name("q")


class Point(NamedTuple):
    """A key of a class."""

    x: int
    y: int


# --- keys


def test_equal_keys_are_one_however_they_were_made() -> None:
    word = "".join(["wo", "rd"])
    assert digest((word, word)) == digest(("word", "".join(["w", "ord"])))
    assert digest(frozenset("abc")) == digest(frozenset("cba"))
    assert digest(Point(1, 2)) == digest(Point(1, 2))


@pytest.mark.parametrize(
    "keys",
    [
        (1, 1.0, True, "1", b"1"),
        (("a", "b"), ("ab",), ("a", ("b",)), "ab"),
        (None, "", b"", (), frozenset[str](), 0, 0.0, -0.0),
        (Point(1, 2), (1, 2), Point(2, 1)),
        ("\ud800", "?"),
    ],
)
def test_keys_of_other_types_and_values_are_others(keys: tuple[Any, ...]) -> None:
    assert len({digest(key) for key in keys}) == len(keys)


def test_keys_are_the_same_in_another_process() -> None:
    key = "('a', frozenset({'b', 'c', 'd'}), 1.5, None, b'x', (True, 2**70))"
    program = f"from ionian.dict_key import digest; print(digest({key}).hex())"
    seen = {
        subprocess.run((sys.executable, "-c", program), capture_output=True, text=True, check=True).stdout
        for _ in range(3)
    }
    assert len(seen) == 1


def test_a_key_or_value_that_is_too_large_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RequestSizeError, match="a key of up to 1,048,576 bytes, got 1,048,577"):
        check_key(bytes((1 << 20) + 1))
    monkeypatch.setattr("ionian.stored_value.VALUE_MAX", 10)
    with pytest.raises(RequestSizeError, match="a value of up to 10 bytes"):
        run(stored(bytes(11)))


def test_what_can_not_be_pickled_is_refused() -> None:
    import threading

    with pytest.raises(SerializationError, match="the value can't be pickled"):
        run(stored(threading.Lock()))
    with pytest.raises(SerializationError, match="the key can't be pickled"):
        digest(threading.Lock())


# --- arguments


@pytest.mark.parametrize("partition", ["", "x" * 65, "ä" * 33, 3, b"p"])
def test_a_partition_has_a_key_of_1_to_64_bytes(partition: Any) -> None:
    assert ionian.Queue.validate_partition_key(None) == b""
    assert ionian.Queue.validate_partition_key("ä" * 32) == ("ä" * 32).encode()
    for use in (q.get, q.len, q.clear):
        with pytest.raises(InvalidError, match="partition: expected a string of 1 to 64 bytes"):
            use(partition=partition)
    with pytest.raises(InvalidError, match="partition"):
        q.put(1, partition=partition)
    with pytest.raises(InvalidError, match="partition"):
        list(q.iterate(partition=partition))


@pytest.mark.parametrize(
    ("use", "text"),
    [
        (lambda: q.put(1, timeout=-1), "timeout: expected a number of seconds"),
        (lambda: q.get(timeout="soon"), "timeout"),
        (lambda: q.get(block=1), "block: expected True or False"),
        (lambda: q.put(1, partition_ttl=0), "partition_ttl: expected a whole number of seconds, 1 or more"),
        (lambda: q.put(1, partition_ttl=0.5), "partition_ttl"),
        (lambda: q.put_many("abc"), "vs: expected a list of items"),
        (lambda: q.put_many(3), "vs: expected a list of items"),
        (lambda: q.get_many(0), "n_values: expected a whole number, 1 or more"),
        (lambda: q.len(partition="p", total=True), "partition: expected None with total=True"),
        (lambda: q.clear(partition="p", all=True), "partition: expected None with all=True"),
        (lambda: list(q.iterate(item_poll_timeout=-1)), "item_poll_timeout"),
        (lambda: d.put(1, 2, skip_if_exists="yes"), "skip_if_exists: expected True or False"),
        (lambda: d.update([1]), "other: expected a mapping"),
        (lambda: iter(d), "write .keys"),
        (lambda: ionian.Dict.from_id("qu-1"), 'dict_id: expected the id of a dict, "di-…"'),
        (lambda: ionian.Queue.from_name("a/b"), "name: expected a name"),
        (lambda: ionian.Dict(), r'modal\.Dict\.from_name\("…"'),
    ],
)
def test_a_wrong_argument_is_refused_where_it_is_written(use: Any, text: str) -> None:
    with pytest.raises(InvalidError, match=text):
        use()


def test_the_retired_new_says_what_to_write() -> None:
    for kind in (ionian.Dict, ionian.Queue):
        with pytest.warns(DeprecationError, match=rf"{kind.__name__}\.ephemeral\(\)"):
            kind.new()
