"""Rows that amounts are added to: what was used by some keys, in one table or another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.dialects.postgresql import insert as postgresql_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert

from ionian.protocol.usage import Amounts

SLOT_S = 900
"""Days begin with a quarter of an hour in every time zone, so sums of quarters are sums of days anywhere."""

AMOUNTS = ("wall_s", "cpu_s", "memory_gib_s", "gpu_s", "used_cpu_s", "used_memory_gib_s")


@dataclass
class Sum:
    """What was used, by the values of some columns."""

    keys: tuple[Any, ...]
    used: Amounts = field(default_factory=Amounts)


def upsert(
    connection: Connection,
    table: Any,
    rows: Iterable[dict[str, Any]],
    added: Sequence[str],
    *,
    latest: str = "",
) -> None:
    """Adds to the rows that are there, and makes those that aren't; `latest` takes the new value."""
    rows = list(rows)
    if not rows:
        return
    statement = insert_of(connection, table)
    changed: dict[str, Any] = {name: table.c[name] + statement.excluded[name] for name in added}
    if latest:
        changed[latest] = statement.excluded[latest]
    keys = list(table.primary_key.columns)
    connection.execute(statement.on_conflict_do_update(index_elements=keys, set_=changed), rows)


def insert_of(connection: Connection, table: Any) -> Any:
    """An insert that may say what is done where there is such a row."""
    return (sqlite_insert if connection.dialect.name == "sqlite" else postgresql_insert)(table)
