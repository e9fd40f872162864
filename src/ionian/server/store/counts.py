"""What became of the inputs of each function, minute by minute."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, delete, func, insert, select

from .database import Database
from .schema import FunctionMinute

NUMBERS = ("succeeded", "failed", "timed_out", "cancelled", "started", "container_errors")

AT_A_TIME = ("running", "creating", "waiting", "containers")


@dataclass(slots=True)
class Counted:
    """A minute of a function, as one start of the server counted it; or the sum of many."""

    function_id: str
    minute: int  # since 1970
    epoch: int
    root_id: str  # of a variant: its function; else the function itself
    app_id: str
    environment: str
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    started: int = 0  # containers
    container_errors: int = 0
    running: int = 0  # inputs, at its end
    creating: int = 0  # containers that start, at its end
    run: dict[int, int] = field(default_factory=dict[int, int])  # buckets of durations → inputs
    latency: dict[int, int] = field(default_factory=dict[int, int])
    startup: dict[int, int] = field(default_factory=dict[int, int])
    waiting: int = 0  # inputs, the most at a time
    containers: int = 0  # likewise


class CountRows:
    """One row for each minute in which a function did something."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def put(self, counted: Sequence[Counted]) -> None:
        """Keeps rows, each in place of what was kept of its minute."""
        rows = [_row(one) for one in counted]
        table = FunctionMinute
        old = delete(table).where(
            table.function_id == bindparam("function"),
            table.minute == bindparam("at"),
            table.epoch == bindparam("of"),
        )
        keys = [{"function": one.function_id, "at": one.minute, "of": one.epoch} for one in counted]
        last = {(row["function_id"], row["minute"], row["epoch"]): row for row in rows}
        with self._database.transaction(writes=True) as connection:
            connection.execute(old, keys)
            connection.execute(insert(table), list(last.values()))

    def of(
        self, since: int, until: int, *, function_id: str = "", root_id: str = "", app_id: str = ""
    ) -> list[Counted]:
        """The minutes from one to before another, of a function, of it and its variants, or of an app."""
        table = FunctionMinute
        query = select(table).where(table.minute >= since, table.minute < until).order_by(table.minute)
        for column, value in (
            (table.function_id, function_id),
            (table.root_id, root_id),
            (table.app_id, app_id),
        ):
            if value:
                query = query.where(column == value)
        with self._database.read() as session:
            return [_counted(row) for row in session.scalars(query)]

    def sums(self, since: int, until: int, app_id: str) -> list[Counted]:
        """The sums of an app's functions, without durations, by function."""
        table = FunctionMinute
        sums = [func.coalesce(func.sum(getattr(table, name)), 0) for name in NUMBERS]
        query = (
            select(table.function_id, table.root_id, *sums)
            .where(table.app_id == app_id, table.minute >= since, table.minute < until)
            .group_by(table.function_id, table.root_id)
        )
        found: list[Counted] = []
        with self._database.read() as session:
            rows: list[list[Any]] = [list(row) for row in session.execute(query)]
        for row in rows:
            found.append(Counted(row[0], since, 0, row[1], app_id, ""))
            for name, number in zip(NUMBERS, row[2:], strict=True):
                setattr(found[-1], name, int(number))
        return found

    def roots(self, *, app_id: str) -> dict[str, str]:
        """What varies what: the ids of an app's functions and variants that did something → the function's."""
        table = FunctionMinute
        query = select(table.function_id, table.root_id).where(table.app_id == app_id).distinct()
        with self._database.read() as session:
            return {row[0]: row[1] for row in session.execute(query)}

    def purge(self, before: int, most: int = 1000) -> bool:
        """Deletes some rows of minutes before one; whether there may be more."""
        table = FunctionMinute
        with self._database.transaction(writes=True) as connection:
            oldest = connection.execute(
                select(table.minute).where(table.minute < before).order_by(table.minute).limit(most)
            ).all()
            if not oldest:
                return False
            connection.execute(delete(table).where(table.minute <= oldest[-1][0]))
        return True


def _row(one: Counted) -> dict[str, Any]:
    names = ("function_id", "minute", "epoch", "root_id", "app_id", "environment", *NUMBERS)
    row: dict[str, Any] = {name: getattr(one, name) for name in (*names, *AT_A_TIME)}
    return row | {name: json.dumps(getattr(one, name)) for name in ("run", "latency", "startup")}


def _counted(row: FunctionMinute) -> Counted:
    return Counted(
        row.function_id,
        row.minute,
        row.epoch,
        row.root_id,
        row.app_id,
        row.environment,
        row.succeeded,
        row.failed,
        row.timed_out,
        row.cancelled,
        row.started,
        row.container_errors,
        row.running,
        row.creating,
        _histogram(row.run),
        _histogram(row.latency),
        _histogram(row.startup),
        row.waiting,
        row.containers,
    )


def _histogram(text: str) -> dict[int, int]:
    return {int(place): count for place, count in json.loads(text).items()}
