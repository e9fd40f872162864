"""Failed inputs: what is kept of them, for how long, and how their failures are read."""

from __future__ import annotations

import json
import pickle
import time

import pytest

from ionian.protocol.batch import BLOB, ERROR, LOST
from ionian.serialization import dump_failure
from ionian.server.replays import ago, last_line
from ionian.server.store import Store, failed_inputs
from ionian.server.store.schema import FailedInput


@pytest.fixture
def store() -> Store:
    return Store.open("sqlite://")


def row(number: int, *, age_s: float = 0.0, code: int = 0, payload: bytes = b"x") -> FailedInput:
    return FailedInput(f"in-{number}", "ap-1", "main", "{}", code, payload, "E: e", time.time() - age_s)


def test_an_input_that_failed_is_found_with_what_it_was(store: Store) -> None:
    store.failed_inputs.add([row(1, payload=b"pickled")])
    found = store.failed_inputs.find("in-1")
    assert found is not None
    assert (found.payload, found.failure) == (b"pickled", "E: e")
    assert store.failed_inputs.find("in-2") is None


def test_one_that_fails_again_replaces_itself(store: Store) -> None:
    store.failed_inputs.add([row(1, payload=b"before")])
    store.failed_inputs.add([row(1, payload=b"after")])
    found = store.failed_inputs.find("in-1")
    assert found is not None
    assert found.payload == b"after"


def test_after_seven_days_it_is_gone(store: Store) -> None:
    store.failed_inputs.add([row(1, age_s=failed_inputs.KEEP_S - 60)])
    assert store.failed_inputs.find("in-1") is not None
    store.failed_inputs.add([row(2, age_s=failed_inputs.KEEP_S + 1)])
    assert store.failed_inputs.find("in-2") is None


def test_past_the_number_that_is_kept_the_oldest_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_inputs, "MOST_ROWS", 3)
    store.failed_inputs.add([row(n, age_s=100 - n) for n in range(5)])
    assert [n for n in range(5) if store.failed_inputs.find(f"in-{n}")] == [2, 3, 4]


def test_past_the_bytes_that_are_kept_the_oldest_go(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(failed_inputs, "MOST_BYTES", 10)
    monkeypatch.setattr(failed_inputs, "TRIM_AT_ONCE", 1)
    store.failed_inputs.add([row(n, age_s=100 - n, payload=b"12345") for n in range(4)])
    assert [n for n in range(4) if store.failed_inputs.find(f"in-{n}")] == [2, 3]


def test_blobs_of_kept_inputs_are_named(store: Store) -> None:
    store.failed_inputs.add([row(1, code=BLOB, payload=b"abc 123"), row(2)])
    assert store.failed_inputs.blobs() == {"abc"}


def test_the_last_line_is_the_exceptions() -> None:
    assert last_line(ERROR, dump_failure(ValueError("no\nmore"))) == "ValueError: no"
    assert last_line(ERROR, dump_failure(json.JSONDecodeError("m", "d", 0))).startswith("json.decoder.JSON")
    assert last_line(LOST, b'{"type": "TimeoutError", "message": "too long"}') == "TimeoutError: too long"


class Bad:
    ran = False

    def __reduce__(self) -> tuple[object, ...]:
        return (setattr, (Bad, "ran", True))


def test_a_failure_that_would_run_code_is_not_read() -> None:
    assert last_line(ERROR, pickle.dumps({"module": "builtins", "type": Bad(), "message": ""})) == "it failed"
    assert not Bad.ran
    assert last_line(ERROR, b"nonsense") == "it failed"
    assert last_line(LOST, b"[]") == "it failed"
    assert last_line(ERROR | BLOB, b"abc 1") == "it failed, with a long text"


def test_a_span_is_said_as_a_person_says_it() -> None:
    assert [ago(s) for s in (0.2, 59, 60, 7200, 86400 * 3)] == [
        "1 s",
        "59 s",
        "1 minute",
        "2 hours",
        "3 days",
    ]
