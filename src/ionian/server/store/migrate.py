"""Brings a database to the schema of this version. Alembic is imported only where there is something to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from sqlalchemy import Connection, inspect, text

from .database import Database, StoreError

HEAD = "0022"
"""The newest revision in `migrations/versions` (a test holds it). Revisions are numbers in order."""

MIGRATING = 0x10_71A2
"""The number of the advisory lock under which servers on one PostgreSQL migrate one after the other."""


def migrate(database: Database) -> None:
    """Creates or upgrades the tables in one transaction. Raises StoreError where a newer Ionian made them."""
    with database.read() as session:
        revision = _revision(session.connection())
    if revision == HEAD:
        return
    _refuse_newer(revision)
    with database.writing_connection() as connection, connection.begin():
        if not database.is_sqlite:
            connection.execute(text("SELECT pg_advisory_xact_lock(:lock)"), {"lock": MIGRATING})
        _refuse_newer(_revision(connection))
        _upgrade(connection)


def _revision(connection: Connection) -> str:
    if not inspect(connection).has_table("alembic_version"):
        return ""
    return str(connection.execute(text("SELECT version_num FROM alembic_version")).scalar() or "")


def _refuse_newer(revision: str) -> None:
    if revision > HEAD:
        raise StoreError(
            f"this database has schema {revision}, made by a newer Ionian; this one knows schemas up to {HEAD}. "
            "Run the newer version, or choose another folder with IONIAN_HOME"
        )


def _upgrade(connection: Connection) -> None:
    from alembic import command

    command.upgrade(configuration(connection), "head")


def configuration(connection: Connection) -> Any:
    """Alembic's configuration for the migrations in this package."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    return config
