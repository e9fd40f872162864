"""What apps used in a calendar month, UTC: added up as it is told, since budgets are looked at after each telling.

To add up the quarters of an hour of a month then took most of a second. Apps of one name are one row, however many runs they were.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from datetime import datetime, timezone
from typing import Any

from sqlalchemy import Connection, delete, literal, select

from ionian.protocol.usage import Amounts

from .apps import AT_ONCE
from .database import Database
from .schema import App, UsageMonth
from .usage_sums import AMOUNTS, SLOT_S, Sum, insert_of, upsert

TABLE: Any = UsageMonth.__table__


class UsageMonths:
    """The sums, read."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of(self, month: datetime) -> list[Sum]:
        """By environment, name of the app and model of cards."""
        columns = [TABLE.c[name] for name in ("environment", "app", "gpu", *AMOUNTS)]
        with self._database.transaction(writes=False) as connection:
            rows = connection.execute(select(*columns).where(TABLE.c.month == name_of(month))).all()
        return [Sum(tuple(row[:3]), Amounts(*map(float, row[3:]))) for row in rows]


def month_of(at: float) -> datetime:
    """The beginning of the month of a time."""
    now = datetime.fromtimestamp(at, timezone.utc)
    return now.replace(day=1, hour=0, minute=0, second=0, microsecond=0)


def name_of(month: datetime) -> str:
    """As people were told of it, and as it is kept."""
    return f"{month:%Y-%m}"


def add_to_months(connection: Connection, slots: Collection[dict[str, Any]]) -> None:
    """Adds what is added to these rows of quarters of an hour, in their transaction."""
    apps = _names(connection, {slot["app_id"] for slot in slots})
    rows: dict[tuple[str, ...], dict[str, Any]] = {}
    for slot in slots:
        month = name_of(month_of(slot["slot"] * SLOT_S))
        key = (month, slot["environment"], str(apps.get(slot["app_id"], slot["app_id"])), slot["gpu"])
        if key not in rows:
            names = ("month", "environment", "app", "gpu")
            rows[key] = {**dict(zip(names, key, strict=True)), **dict.fromkeys(AMOUNTS, 0.0)}
        for name in AMOUNTS:
            rows[key][name] += slot[name]
    upsert(connection, TABLE, rows.values(), AMOUNTS)


def rename_environment(connection: Connection, name: str, new_name: str) -> None:
    """An environment has another name, which a deleted one may have had: its sums are there still, and are added to."""
    others = [column for column in TABLE.c if column.name != "environment"]
    found = select(literal(new_name), *others).where(TABLE.c.environment == name)
    statement = insert_of(connection, TABLE).from_select(
        ["environment", *(one.name for one in others)], found
    )
    changed = {amount: TABLE.c[amount] + statement.excluded[amount] for amount in AMOUNTS}
    keys = list(TABLE.primary_key.columns)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed))
    connection.execute(delete(TABLE).where(TABLE.c.environment == name))


def _names(connection: Connection, app_ids: Iterable[str]) -> dict[str, str]:
    ids, found = sorted(app_ids), dict[str, str]()
    for at in range(0, len(ids), AT_ONCE):
        query = select(App.app_id, App.name).where(App.app_id.in_(ids[at : at + AT_ONCE]))
        found.update({row[0]: row[1] for row in connection.execute(query)})
    return found
