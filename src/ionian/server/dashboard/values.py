"""Inputs and results as a person may read them. Their pickles are data of users: nothing of them is run here.

What is made of plain values (numbers, texts, lists, dicts …) is read by an unpickler that knows no class and no function;
of anything else the page says how large it is.
"""

from __future__ import annotations

import io
import json
import pickle
import reprlib
from typing import Any, cast

from ionian.protocol.batch import BLOB, DONE, ERROR, LOST

from .rendering import size

MOST_BYTES = 256 << 10
"""A larger value is not read."""

MOST_FRAMES = 200


class _Plain(pickle._Unpickler):  # type: ignore[name-defined,misc]  # the one in C makes room as a pickle says
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError("a class")

    def persistent_load(self, pid: Any) -> Any:
        raise pickle.UnpicklingError("an object that is elsewhere")


_repr = reprlib.Repr()
_repr.maxlevel = 5
_repr.maxstring = _repr.maxother = _repr.maxlong = 300
_repr.maxlist = _repr.maxtuple = _repr.maxdict = _repr.maxset = _repr.maxarray = 30


class _Opaque(Exception):
    """What is not made of plain values."""


def _plain(payload: bytes) -> Any:
    if len(payload) > MOST_BYTES:
        raise _Opaque
    try:
        return _Plain(io.BytesIO(payload)).load()
    except Exception:  # whatever a made-up pickle leads to
        raise _Opaque from None


def arguments(code: int, payload: bytes) -> str:
    """How an input was called: `(4, name='x')`."""
    try:
        given = _plain(_inline(code, payload))
        args, kwargs = given[0], given[1]
        parts = [_repr.repr(value) for value in args]
        parts += [f"{name}={_repr.repr(value)}" for name, value in kwargs.items()]
    except Exception:  # as above, or of another shape
        return f"({_opaque(code, payload)})"
    return f"({', '.join(parts)})"


def result(code: int, payload: bytes) -> str:
    """What came of an input; empty where there is nothing to show."""
    kind = code & ~BLOB
    if kind == DONE:
        return "all items were given"
    if kind in (ERROR, LOST):
        return failure(code, payload)[0]
    try:
        return _repr.repr(_plain(_inline(code, payload)))
    except _Opaque:
        return _opaque(code, payload)


def failure(code: int, payload: bytes) -> tuple[str, str]:
    """The last line of a failure, and its traceback."""
    if code & ~BLOB == LOST:
        try:
            said = json.loads(payload)
            return f"{said['type']}: {said['message']}", ""
        except (ValueError, KeyError, TypeError):
            return "it was lost", ""
    try:
        failed = cast("dict[str, Any]", _plain(_inline(code, payload)))
        return _last_line(failed), "\n".join(_lines(failed))[:MOST_BYTES]
    except Exception:  # of another shape
        return f"a failure ({_opaque(code, payload)})", ""


def _lines(failed: dict[str, Any], depth: int = 0) -> list[str]:
    lines: list[str] = []
    cause = failed.get("cause")
    if isinstance(cause, dict) and depth < 5:
        lines += _lines(cast("dict[str, Any]", cause), depth + 1)
        lines += ["", "which led to:", ""]
    for name, number, function, source in failed["frames"][-MOST_FRAMES:]:
        lines.append(f'File "{name}", line {number}, in {function}')
        if source.strip():
            lines.append(f"    {source.strip()}")
    return [*lines, _last_line(failed), *(str(note) for note in failed.get("notes", ()))]


def _last_line(failed: dict[str, Any]) -> str:
    module = failed["module"]
    name = failed["type"] if module == "builtins" else f"{module}.{failed['type']}"
    return f"{name}: {failed['message']}" if failed["message"] else str(name)


def _inline(code: int, payload: bytes) -> bytes:
    if code & BLOB:
        raise _Opaque
    return payload


def _opaque(code: int, payload: bytes) -> str:
    if code & BLOB:
        words = payload.split()
        return f"{size(int(words[1]))} in a file" if len(words) > 1 and words[1].isdigit() else "in a file"
    return f"{size(len(payload))} of objects"
