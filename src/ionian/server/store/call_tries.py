"""How often spawned inputs that failed were tried again: kept while they have no result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from sqlalchemy import Connection, bindparam, delete, insert, select

from .database import Database
from .many import execute_many
from .schema import Call, CallTry


class Used(NamedTuple):
    """What an input that failed has used: retries, and numbers of attempts (all below the newest one)."""

    retries: int
    attempt: int


@dataclass(slots=True)
class NewTry:
    """An input is tried again. `used` None: it has its result, and nothing more is to be known."""

    call_id: str
    index: int
    used: Used | None


class CallTries:
    """What is kept of them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def load(self) -> dict[str, dict[int, Used]]:
        """Those of the unfinished calls; the others are forgotten."""
        unfinished = select(Call.call_id).where(Call.finished_at.is_(None))
        found: dict[str, dict[int, Used]] = {}
        with self._database.write() as session:
            session.execute(delete(CallTry).where(CallTry.call_id.not_in(unfinished)))
            rows = session.execute(select(CallTry.call_id, CallTry.number, CallTry.used, CallTry.attempt))
            for call_id, index, used, attempt in rows:
                found.setdefault(call_id, {})[index] = Used(used, attempt)
        return found


_DELETE = delete(CallTry).where(CallTry.call_id == bindparam("b_id"), CallTry.number == bindparam("b_number"))
_INSERT = insert(CallTry)


def write_tries(connection: Connection, group: Sequence[NewTry]) -> None:
    """Writes what is new, in a transaction of others."""
    last = {(one.call_id, one.index): one.used for one in group}
    execute_many(connection, _DELETE, [{"b_id": call_id, "b_number": index} for call_id, index in last])
    rows: list[dict[str, Any]] = [
        {"call_id": call_id, "number": index, "used": used.retries, "attempt": used.attempt}
        for (call_id, index), used in last.items()
        if used is not None
    ]
    if rows:
        execute_many(connection, _INSERT, rows)
