"""Rows of spawned calls as they are read: plain tuples. Who spawns single inputs has thousands of calls, and an object of
SQLAlchemy's costs more than the look into the database that finds it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Connection

from .rows import marks, read
from .schema import Call

CHUNK = 500
"""Ids in one statement: a database takes a limited number of parameters."""


class CallRow(NamedTuple):
    """A spawned call, as it was when it was read. The columns are those of `schema.Call`, in their order."""

    call_id: str
    app_id: str
    environment: str
    function_id: str
    tag: str
    parent: str
    created_at: float
    total: int
    complete: bool
    done: int
    cancelled: bool = False
    finished_at: float | None = None
    caller: str = ""


COLUMNS = [Call.__table__.c[name] for name in CallRow._fields]
"""For a statement of SQLAlchemy's whose rows become `CallRow(*row)`."""

_SELECT = f"SELECT {', '.join(CallRow._fields)} FROM calls"


def calls_by_id(
    connection: Connection, call_ids: Sequence[str], *, unfinished: bool = False
) -> dict[str, CallRow]:
    """Those of these calls that are there, in the order of their first mention."""
    also = " AND finished_at IS NULL" if unfinished else ""
    found: dict[str, CallRow] = {}
    for at in range(0, len(call_ids), CHUNK):
        part = call_ids[at : at + CHUNK]
        for row in read(connection, f"{_SELECT} WHERE call_id IN ({marks(len(part))}){also}", *part):
            found[row[0]] = _made(row)
    return {call_id: found[call_id] for call_id in call_ids if call_id in found}


def calls_after(connection: Connection, function_id: str, after: float, limit: int) -> list[CallRow]:
    """The unfinished calls of a function that were made after a moment, oldest first."""
    where = "function_id = ? AND finished_at IS NULL AND created_at > ? ORDER BY created_at LIMIT ?"
    return [_made(row) for row in read(connection, f"{_SELECT} WHERE {where}", function_id, after, limit)]


def _made(row: Sequence[Any]) -> CallRow:
    values = list(row)
    values[8], values[10] = bool(values[8]), bool(values[10])  # SQLite has numbers for them
    return CallRow._make(values)
