"""Rows by a statement in SQL, without SQLAlchemy's work for each: that was most of what a single operation on a dict cost.

Statements are written with `?` for their values, and are plain enough for SQLite and PostgreSQL.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Connection


def read(connection: Connection, sql: str, *values: Any) -> Sequence[tuple[Any, ...]]:
    """The rows of a statement."""
    result = connection.exec_driver_sql(_spelled(sql, connection.dialect.paramstyle), values)
    return result.cursor.fetchall() if result.cursor is not None else ()


def marks(count: int) -> str:
    """Places for so many values: `?, ?, ?`."""
    return ", ".join("?" * count)


@lru_cache(maxsize=1024)
def _spelled(sql: str, style: str) -> str:
    return sql if style == "qmark" else sql.replace("?", "%s")
