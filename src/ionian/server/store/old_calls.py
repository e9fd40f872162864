"""Spawned calls that have ended: what they take, and how it goes."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import delete, func, select, update
from sqlalchemy.orm import Session

from .calls import CHUNK
from .database import Database
from .schema import Call, CallInputs, CallResults

BYTES_STEP = 100
"""Calls whose results go together where they take too much."""


class OldCalls:
    """The ended calls, in the order in which they ended."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ended(self, after: float, until: float, limit: int) -> list[tuple[str, float]]:
        """Calls that ended after one moment and up to another. Those of one moment are never cut apart."""
        query = (
            select(Call.call_id, Call.finished_at)
            .where(Call.finished_at > after, Call.finished_at <= until)
            .order_by(Call.finished_at)
        )
        with self._database.read() as session:
            found = [(call_id, ended_at or 0.0) for call_id, ended_at in session.execute(query.limit(limit))]
            if len(found) == limit:
                last = found[-1][1]
                same = select(Call.call_id).where(Call.finished_at == last)
                have = {call_id for call_id, _ in found}
                found += [(call_id, last) for call_id in session.scalars(same) if call_id not in have]
        return found

    def delete_payloads(self, call_ids: Sequence[str], limit: int) -> bool:
        """Deletes up to so many rows of inputs and results of these calls; whether there may be more."""
        left = limit
        with self._database.write() as session:
            for at in range(0, len(call_ids), CHUNK):
                part = call_ids[at : at + CHUNK]
                left -= _delete_results(session, part, left)
                left -= _delete_inputs(session, part, left)
                if left <= 0:
                    return True
        return False

    def delete_calls(self, until: float, limit: int) -> int:
        """Forgets calls that ended before a moment, up to so many; returns how many."""
        old = select(Call.call_id).where(Call.finished_at <= until).limit(limit)
        with self._database.write() as session:
            call_ids = list(session.scalars(old))
            for at in range(0, len(call_ids), CHUNK):
                session.execute(delete(Call).where(Call.call_id.in_(call_ids[at : at + CHUNK])))
        return len(call_ids)

    def abandon(self, before: float) -> None:
        """Ends the calls that were made before a moment, whose callers went away before they sent all inputs."""
        given_up = (
            Call.finished_at.is_(None),
            Call.complete.is_(False),
            Call.created_at < before,
            Call.done >= Call.total,
        )
        with self._database.read() as session:
            if session.scalar(select(Call.call_id).where(*given_up).limit(1)) is None:
                return
        with self._database.write() as session:
            session.execute(update(Call).where(*given_up).values(complete=True, finished_at=time.time()))

    def kept_bytes(self, after: float) -> int:
        """The payloads of calls that ended after a moment."""
        with self._database.read() as session:
            return _bytes(session, Call.finished_at > after)

    def oldest_bytes(self, after: float) -> tuple[float, int]:
        """When the next calls after a moment ended that go together, and what their payloads take; 0 for none."""
        found = self.ended(after, float("inf"), BYTES_STEP)
        if not found:
            return 0.0, 0
        until = found[-1][1]
        with self._database.read() as session:
            return until, _bytes(session, (Call.finished_at > after) & (Call.finished_at <= until))

    def blobs(self) -> set[str]:
        """The blobs that kept inputs and results name: these are not garbage."""
        found: set[str] = set()
        with self._database.read() as session:
            for table in (CallInputs, CallResults):
                for digests in session.scalars(select(table.blobs).where(table.blobs != "")):
                    found.update(digests.split("\n"))
        return found


def _bytes(session: Session, which: object) -> int:
    total = 0
    for table in (CallInputs, CallResults):
        size = func.coalesce(func.sum(func.length(table.payload)), 0)
        query = select(size).join(Call, Call.call_id == table.call_id).where(which)  # type: ignore[arg-type]
        total += int(session.scalar(query) or 0)
    return total


def _delete_results(session: Session, call_ids: Sequence[str], limit: int) -> int:
    query = select(CallResults.number).where(CallResults.call_id.in_(call_ids)).limit(limit)
    numbers = list(session.scalars(query))
    for at in range(0, len(numbers), CHUNK):
        session.execute(delete(CallResults).where(CallResults.number.in_(numbers[at : at + CHUNK])))
    return len(numbers)


def _delete_inputs(session: Session, call_ids: Sequence[str], limit: int) -> int:
    if limit <= 0:
        return 0
    query = select(CallInputs.call_id, CallInputs.start).where(CallInputs.call_id.in_(call_ids)).limit(limit)
    keys = [(call_id, start) for call_id, start in session.execute(query)]
    starts: dict[str, list[int]] = {}
    for call_id, start in keys:
        starts.setdefault(call_id, []).append(start)
    firsts = [call_id for call_id, of_call in starts.items() if of_call == [0]]
    for at in range(0, len(firsts), CHUNK):
        part = CallInputs.call_id.in_(firsts[at : at + CHUNK])
        session.execute(delete(CallInputs).where(part, CallInputs.start == 0))
    for call_id, of_call in starts.items():
        if of_call != [0]:
            for at in range(0, len(of_call), CHUNK):
                part = CallInputs.start.in_(of_call[at : at + CHUNK])
                session.execute(delete(CallInputs).where(CallInputs.call_id == call_id, part))
    return len(keys)
