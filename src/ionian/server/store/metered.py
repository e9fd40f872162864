"""What containers, templates and calls used: sums that each reading of a worker is added to once."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import Connection, delete, func, select
from sqlalchemy.sql.elements import ColumnElement

from ionian.protocol.usage import Amounts, Metered, Reading

from .database import Database
from .schema import UsageDetail, UsageMark, UsageSlot
from .usage_months import add_to_months
from .usage_sums import AMOUNTS, SLOT_S, Sum, upsert

WHOSE = ("function_id", "root_id", "app_id", "environment", "tag")


class MeteredRows:
    """The sums."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, told: Sequence[tuple[float, Metered]]) -> None:
        """Adds readings, each with the time at which it was taken, that are not in the sums yet. All or none."""
        with self._database.transaction(writes=True) as connection:
            marks = _marks(connection, {metered.source for _, metered in told})
            slots: dict[tuple[Any, ...], dict[str, Any]] = {}
            details: dict[tuple[Any, ...], dict[str, Any]] = {}
            for at, metered in told:
                if metered.seq <= marks.get(metered.source, 0):
                    continue
                marks[metered.source] = metered.seq
                for reading in metered.readings:
                    _add_slots(slots, reading, int(at) // SLOT_S)
                    _add_details(details, reading, at)
            upsert(connection, UsageSlot.__table__, slots.values(), AMOUNTS)
            add_to_months(connection, slots.values())
            upsert(connection, UsageDetail.__table__, details.values(), AMOUNTS, latest="last_at")
            now = time.time()
            rows = [{"source": source, "seq": seq, "at": now} for source, seq in marks.items()]
            upsert(connection, UsageMark.__table__, rows, (), latest="seq")

    # --- read

    def sums(
        self,
        columns: Sequence[str],
        since: float,
        until: float,
        *,
        environment: str = "",
        app_ids: Sequence[str] | None = None,
    ) -> list[Sum]:
        """What was used in the quarters from one time to before another, by columns of UsageSlot."""
        table = UsageSlot
        bounds = (table.slot >= int(since) // SLOT_S, table.slot < -(-until // SLOT_S))
        return self._sums(table, columns, bounds, environment, app_ids)

    def details(
        self,
        columns: Sequence[str],
        since: float,
        until: float,
        kinds: Sequence[str],
        *,
        environment: str = "",
        app_ids: Sequence[str] | None = None,
    ) -> list[Sum]:
        """What containers, templates or calls used that were there between two times, by columns of UsageDetail: all that
        each used, before and after it, too."""
        table = UsageDetail
        bounds = (table.kind.in_(kinds), table.last_at >= since, table.first_at < until)
        return self._sums(table, columns, bounds, environment, app_ids)

    def _sums(
        self,
        table: type[UsageSlot] | type[UsageDetail],
        columns: Sequence[str],
        bounds: Iterable[ColumnElement[bool]],
        environment: str,
        app_ids: Sequence[str] | None,
    ) -> list[Sum]:
        keys = [getattr(table, name) for name in columns]
        totals = [func.coalesce(func.sum(getattr(table, name)), 0.0) for name in AMOUNTS]
        query = select(*keys, *totals).where(*bounds).group_by(*keys)
        if environment:
            query = query.where(table.environment == environment)
        if app_ids is not None:
            query = query.where(table.app_id.in_(app_ids))
        with self._database.read() as session:
            rows = [tuple(row) for row in session.execute(query)]
        return [Sum(row[: len(keys)], Amounts(*map(float, row[len(keys) :]))) for row in rows]

    # --- forgotten

    def purge(self, before: float, most: int = 1000) -> bool:
        """Deletes some of what is kept of single containers and calls that ended before a time; whether there may be more.
        The sums stay."""
        table = UsageDetail
        with self._database.transaction(writes=True) as connection:
            old = select(table.last_at).where(table.last_at < before).order_by(table.last_at).limit(most)
            times = list(connection.scalars(old))
            if times:
                connection.execute(delete(table).where(table.last_at <= times[-1]))
            connection.execute(delete(UsageMark).where(UsageMark.at < before))
        return bool(times)


def _marks(connection: Connection, sources: set[str]) -> dict[str, int]:
    query = select(UsageMark.source, UsageMark.seq).where(UsageMark.source.in_(sources))
    return {row[0]: int(row[1]) for row in connection.execute(query)}


def _add_slots(rows: dict[tuple[Any, ...], dict[str, Any]], reading: Reading, slot: int) -> None:
    for line, used in reading.lines.items():
        key = (reading.function_id, slot, line, reading.gpu)
        _add(rows, key, {"slot": slot, "line": line}, reading, used)


def _add_details(rows: dict[tuple[Any, ...], dict[str, Any]], reading: Reading, at: float) -> None:
    total = Amounts()
    for used in reading.lines.values():
        total.add(used)
    kind = (
        "template" if "templates" in reading.lines else "build" if "builds" in reading.lines else "container"
    )
    key = (reading.id, reading.gpu)
    _add(rows, key, _span(reading.id, kind, at - total.wall_s, at), reading, total)
    of_calls = reading.lines.get("calls", Amounts())
    for call_id, share in reading.calls.items():
        used = Amounts()
        used.add(of_calls, share)
        _add(rows, (call_id, reading.gpu), _span(call_id, "call", at - used.wall_s, at), reading, used)


def _span(id: str, kind: str, first_at: float, last_at: float) -> dict[str, Any]:
    return {"id": id, "kind": kind, "first_at": first_at, "last_at": last_at}


def _add(
    rows: dict[tuple[Any, ...], dict[str, Any]],
    key: tuple[Any, ...],
    own: dict[str, Any],
    reading: Reading,
    used: Amounts,
) -> None:
    row = rows.get(key)
    if row is None:
        whose = {name: getattr(reading, name) for name in WHOSE}
        row = rows[key] = {**own, **whose, "gpu": reading.gpu, **dict.fromkeys(AMOUNTS, 0.0)}
    elif "last_at" in own:
        row["last_at"] = max(row["last_at"], own["last_at"])
    for name in AMOUNTS:
        row[name] += getattr(used, name)
