"""Inputs and results as the dashboard shows them: plain values, and never anything that a pickle wants to be run."""

from __future__ import annotations

import json
import pickle
from pathlib import Path
from typing import Any

from ionian.protocol.batch import BLOB, DONE, ERROR, LOST, OK
from ionian.serialization import dump_failure
from ionian.server.dashboard import values


class Touches:
    """A pickle that makes a file where it is read as Python reads pickles."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.path,)


def test_plain_values_are_shown_as_they_were_written() -> None:
    given = pickle.dumps(((4, "x", [1.5, None]), {"name": {"a": b"b"}}), 5)
    assert values.arguments(OK, given) == "(4, 'x', [1.5, None], name={'a': b'b'})"
    assert values.arguments(OK, pickle.dumps(((), {}, "method"), 5)) == "()"
    assert values.result(OK, pickle.dumps({1, 2}, 5)) == "{1, 2}"


def test_large_values_are_cut() -> None:
    assert len(values.result(OK, pickle.dumps("x" * 100_000))) < 400
    assert len(values.result(OK, pickle.dumps([[["x"] * 100] * 100] * 100))) < 200_000
    assert values.result(OK, pickle.dumps("x" * 300_000)) == "293.0 KiB of objects"


def test_nothing_of_a_pickle_is_run(tmp_path: Path) -> None:
    path = tmp_path / "touched"
    payload = pickle.dumps(((Touches(path),), {}))
    assert values.arguments(OK, payload) == f"({len(payload)} B of objects)"
    assert values.result(OK, payload) == f"{len(payload)} B of objects"
    assert values.result(ERROR, payload) == f"a failure ({len(payload)} B of objects)"
    assert not path.exists()


def test_what_is_no_pickle_or_of_another_shape_is_said_by_its_size() -> None:
    huge_memo = b"\x80\x04N" + b"r\xff\xff\xff\xff" + b"."
    for payload in (b"", b"nonsense", pickle.dumps(7), huge_memo, b"\x80\x04" + b"(" * 1000):
        assert values.arguments(OK, payload) == f"({len(payload)} B of objects)"
        assert values.failure(ERROR, payload)[1] == ""


def test_large_payloads_and_generators_have_their_words() -> None:
    assert values.arguments(BLOB, b"00ff 4096") == "(4.0 KiB in a file)"
    assert values.result(OK | BLOB, b"00ff 4096") == "4.0 KiB in a file"
    assert values.result(DONE, b"") == "all items were given"
    lost = json.dumps({"type": "FunctionTimeoutError", "message": "it took 3 s"}).encode()
    assert values.result(LOST, lost) == "FunctionTimeoutError: it took 3 s"


def test_a_failure_has_its_traceback_and_its_cause() -> None:
    try:
        try:
            raise KeyError("first")
        except KeyError as error:
            raise ValueError("second") from error
    except ValueError as error:
        payload = dump_failure(error)
    line, traceback = values.failure(ERROR, payload)
    assert line == "ValueError: second"
    assert traceback.index("KeyError: 'first'") < traceback.index("which led to:") < traceback.index(line)
    assert 'raise ValueError("second") from error' in traceback
