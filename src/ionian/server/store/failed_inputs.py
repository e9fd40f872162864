"""Inputs that ended in a failure, kept for a while so that a person can run one again."""

from __future__ import annotations

import time
from collections.abc import Sequence

from sqlalchemy import delete, func, select
from sqlalchemy.orm import Session

from .database import Database
from .schema import FailedInput

KEEP_S = 7 * 24 * 3600.0
MOST_ROWS = 10_000
MOST_BYTES = 1 << 30
TRIM_AT_ONCE = 200
"""Rows that are looked at in one step where there are too many bytes."""


class FailedInputs:
    """The newest of them: up to 7 days old, 10,000 of them, and 1 GiB of payloads."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, rows: Sequence[FailedInput]) -> None:
        """Keeps these, and lets go of the oldest. One that failed again replaces itself."""
        with self._database.write() as session:
            for row in rows:
                session.merge(row)
            session.flush()
            _trim(session)

    def find(self, input_id: str) -> FailedInput | None:
        """A kept input."""
        with self._database.read() as session:
            row = session.get(FailedInput, input_id)
        return row if row is not None and row.failed_at > time.time() - KEEP_S else None

    def blobs(self) -> set[str]:
        """The blobs that kept inputs are in."""
        with self._database.read() as session:
            payloads = session.scalars(select(FailedInput.payload).where(FailedInput.code != 0))
            return {payload.decode().split()[0] for payload in payloads}


def _trim(session: Session) -> None:
    session.execute(delete(FailedInput).where(FailedInput.failed_at <= time.time() - KEEP_S))
    surplus = (session.scalar(select(func.count()).select_from(FailedInput)) or 0) - MOST_ROWS
    if surplus > 0:
        _delete(session, surplus)
    while (session.scalar(select(func.sum(func.length(FailedInput.payload)))) or 0) > MOST_BYTES:
        _delete(session, TRIM_AT_ONCE)


def _delete(session: Session, count: int) -> None:
    oldest = select(FailedInput.input_id).order_by(FailedInput.failed_at).limit(count)
    ids = list(session.scalars(oldest))
    for at in range(0, len(ids), 500):
        session.execute(delete(FailedInput).where(FailedInput.input_id.in_(ids[at : at + 500])))
