"""The same statement for many rows, without SQLAlchemy's work for each value of each row.

That work is half of what a spawned input costs the database's thread. SQLite's driver takes the values as they are
(texts, numbers, bytes, None); for another driver SQLAlchemy executes the statement.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cache
from operator import itemgetter
from typing import Any

from sqlalchemy import Connection, Delete, Insert, Update
from sqlalchemy.dialects.sqlite import dialect as sqlite


def execute_many(
    connection: Connection, statement: Insert | Update | Delete, rows: Sequence[Mapping[str, Any]]
) -> None:
    """Executes a statement, which is made once and whose values are all named, for each of these rows."""
    if connection.dialect.paramstyle != "qmark":
        connection.execute(statement, rows)
        return
    text, values = _compiled(statement)
    connection.exec_driver_sql(text, list(map(values, rows)))


@cache
def _compiled(
    statement: Insert | Update | Delete,
) -> tuple[str, Callable[[Mapping[str, Any]], tuple[Any, ...]]]:
    """The text of a statement, and what takes its values from a row in the order in which it has them."""
    compiled = statement.compile(dialect=sqlite(paramstyle="qmark"))
    names = compiled.positiontup or []
    return str(compiled), itemgetter(*names) if len(names) > 1 else lambda row: (row[names[0]],)
