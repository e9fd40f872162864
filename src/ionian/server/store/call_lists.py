"""Lists of spawned calls, newest first: quick however many there are, and however few of them are asked for.

What is asked for is either few, and is sorted; or it is found in the order of an index, one function after the other.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import ColumnElement, Select, func, select, tuple_
from sqlalchemy.orm import Session

from .call_rows import COLUMNS, CallRow
from .database import Database
from .schema import Call

FEW = 2000
"""So many rows are sorted in a millisecond or two."""

MOST_TAGS = 100
"""Methods of one class whose calls are put together."""


class CallLists:
    """Lists of calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def newest(
        self,
        environment: str,
        app_id: str,
        function: str,
        status: str,
        limit: int,
        before: tuple[float, str] = (0.0, ""),
    ) -> list[CallRow]:
        """Calls of an environment, newest first: of one app, of one function or class, that are pending, done or
        cancelled, behind one of another list (its time and id), where these are given."""
        with self._database.read() as session:
            few_pending = status == "pending" and _few(session, Call.finished_at.is_(None))
            few_cancelled = status == "cancelled" and _few(
                session, (Call.environment == environment) & Call.cancelled.is_(True)
            )
            few_of_app = app_id != "" and _few(session, Call.app_id == app_id)
            few = few_pending or few_cancelled or few_of_app
            query = select(*COLUMNS).where(*_what(environment, app_id, status, few_pending, few_of_app))
            if before[0]:
                query = query.where(tuple_(Call.created_at, Call.call_id) < before)
            newest_first = (Call.created_at.desc(), Call.call_id.desc())
            if not function:
                parts = [query]
            elif few:
                parts = [
                    query.where((Call.tag == function) | Call.tag.startswith(f"{function}.", autoescape=True))
                ]
            else:
                parts = [query.where(Call.tag == tag) for tag in self._tags(session, environment, function)]
            rows = [
                CallRow(*row)
                for part in parts
                for row in session.execute(part.order_by(*newest_first).limit(limit))
            ]
        if len(parts) > 1:
            rows.sort(key=lambda row: (row.created_at, row.call_id), reverse=True)
        return rows[:limit]

    def _tags(self, session: Session, environment: str, function: str) -> list[str]:
        """The tags of which there are calls: of the function, or of the methods of a class. A look for each that is there."""
        found: list[str] = []
        tag = session.scalar(_least(environment, Call.tag >= function))
        while tag is not None and len(found) < MOST_TAGS:
            if tag == function or tag.startswith(f"{function}."):
                found.append(tag)
            elif self._database.is_sqlite and not tag.startswith(function):
                break  # PostgreSQL may have an order in which points count for little
            tag = session.scalar(_least(environment, Call.tag > tag))
        return found


def _least(environment: str, condition: ColumnElement[bool]) -> Select[Any]:
    return select(func.min(Call.tag)).where(Call.environment == environment, condition)


def _few(session: Session, condition: ColumnElement[bool]) -> bool:
    some = select(Call.call_id).where(condition).limit(FEW).subquery()
    return (session.scalar(select(func.count()).select_from(some)) or 0) < FEW


def _what(
    environment: str, app_id: str, status: str, few_pending: bool, few_of_app: bool
) -> Iterator[ColumnElement[bool]]:
    """The conditions. A column that is not to be looked up in its index, for it would find many, stands in an expression."""
    few = few_pending or few_of_app
    yield (func.coalesce(Call.environment, "") if few else Call.environment) == environment
    if app_id:
        yield (Call.app_id if few_of_app else func.coalesce(Call.app_id, "")) == app_id
    if status:
        yield Call.cancelled.is_(status == "cancelled")
    if status == "pending":
        yield Call.finished_at.is_(None) if few_pending else func.coalesce(Call.finished_at, 0.0) == 0.0
    if status == "done":
        yield func.coalesce(Call.finished_at, 0.0) != 0.0
