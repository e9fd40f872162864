"""The connection to SQLite or PostgreSQL: durable commits, one writer at a time, errors in a sentence."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import wraps
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, DataError, DBAPIError, IntegrityError
from sqlalchemy.orm import Session

from .turns import Turns

P = ParamSpec("P")
R = TypeVar("R")

BUSY_TIMEOUT_S = 30
"""How long a write waits for another process (a backup, an administrator's shell) that holds SQLite's lock."""


class StoreError(Exception):
    """The store can't be opened or used. The message says why and what to do."""


class StoreFull(StoreError):
    """The disk of the database has no room."""


class StoreRefused(StoreError):
    """The database takes no such value; to try it again is in vain."""


class Database:
    """Sessions on one database. Safe to use from any thread; blocks, so never call it on an event loop."""

    def __init__(self, url: str) -> None:
        self.engine = _engine(url)
        self.is_sqlite = self.engine.dialect.name == "sqlite"
        self._writing = Turns()
        self.timed: Callable[[float, float], None] | None = None
        """Told of each transaction that writes how long it waited for the one before, and how long it took."""

    @contextmanager
    def read(self) -> Generator[Session]:
        """A session that sees one state of the store."""
        with explained(self.engine), Session(self.engine, expire_on_commit=False) as session:
            yield session

    @contextmanager
    def write(self) -> Generator[Session]:
        """A session that is committed, and synced to disk, when the block ends; rolled back where it raises.

        One at a time in this process: SQLite has one writer anyway, and what reads first and writes then
        ("is there such a volume? else make it") needs no further locks.
        """
        with (
            explained(self.engine),
            self._turn(),
            self.writing_connection() as connection,
            Session(connection, expire_on_commit=False) as session,
        ):
            yield session
            session.commit()

    @contextmanager
    def transaction(self, *, writes: bool) -> Generator[Connection]:
        """A bare connection in a transaction, which is committed when the block ends: `write` or `read` without a session,
        whose making costs more than a small statement."""
        if not writes:
            with explained(self.engine), self.engine.connect() as connection:
                yield connection
            return
        with (
            explained(self.engine),
            self._turn(),
            self.writing_connection() as connection,
            connection.begin(),
        ):
            yield connection

    @contextmanager
    def _turn(self) -> Generator[None]:
        """The right to write."""
        asked = time.monotonic()
        with self._writing:
            began = time.monotonic()
            try:
                yield
            finally:
                if self.timed is not None:
                    self.timed(began - asked, time.monotonic() - began)

    @contextmanager
    def writing_connection(self) -> Generator[Connection]:
        """A connection whose transactions take the write lock when they begin and not when they first write.

        Without that, SQLite refuses a transaction that read before another one wrote, whatever its time-out.
        """
        with self.engine.connect() as connection:
            yield connection.execution_options(ionian_write=True)

    def close(self) -> None:
        """Closes all connections."""
        self.engine.dispose()


def parse(url: str) -> URL:
    """A database URL. Raises StoreError for one of another kind of database."""
    try:
        parsed = make_url(url)
    except ArgumentError:
        parsed = None
    if parsed is None or parsed.get_backend_name() not in ("sqlite", "postgresql", "postgres"):
        shown = url.split("@")[-1]
        raise StoreError(
            f"expected a database URL such as sqlite:////folder/state.db or postgresql://user@host/name, got {shown!r}"
        )
    if parsed.drivername in ("postgres", "postgresql"):
        return parsed.set(drivername="postgresql+psycopg")
    return parsed


def _engine(url: str) -> Engine:
    parsed = parse(url)
    try:
        engine = create_engine(parsed, pool_pre_ping=parsed.get_backend_name() != "sqlite")
    except ImportError:
        raise StoreError("PostgreSQL needs its driver; install it: pip install 'ionian[postgres]'") from None
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine)
    with explained(engine), engine.connect():
        pass
    return engine


def _prepare_sqlite(engine: Engine) -> None:
    @event.listens_for(engine, "connect")
    def connected(connection: Any, _: object) -> None:
        connection.isolation_level = None  # BEGIN is ours: the module's own comes late and never is IMMEDIATE
        cursor = connection.cursor()
        cursor.execute(f"PRAGMA busy_timeout = {BUSY_TIMEOUT_S * 1000}")
        use_wal(cursor)
        for pragma in (
            "synchronous = FULL",  # NORMAL, usual with WAL, loses acknowledged commits when the machine dies
            "foreign_keys = ON",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def begun(connection: Connection) -> None:
        write = connection.get_execution_options().get("ionian_write", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")

    _ = connected, begun


def use_wal(cursor: Any, patience_s: float = BUSY_TIMEOUT_S) -> None:
    """Has a SQLite database write to a log. Of several that make it one at the same moment SQLite refuses some at once: for
    this it does not wait, whatever its time-out."""
    end = time.monotonic() + patience_s
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > end:
                raise
        time.sleep(0.01)


def sqlite_folder(url: str) -> Path | None:
    """The folder of a SQLite database's file; None for another database."""
    parsed = parse(url)
    if parsed.get_backend_name() != "sqlite" or not parsed.database:
        return None
    return Path(parsed.database).absolute().parent


@contextmanager
def explained(engine: Engine) -> Generator[None]:
    """Failures of the database itself (gone, full, not a database, busy) as a StoreError that names it."""
    try:
        yield
    except IntegrityError:
        raise
    except DBAPIError as error:
        where = engine.url.render_as_string(hide_password=True)
        reason = str(error.orig).strip().splitlines()[0]
        if "disk is full" in reason or "No space left" in reason:
            raise StoreFull(
                f"the disk of the database {where} is full; free some space there, then try again"
            ) from None
        if isinstance(error, DataError):
            raise StoreRefused(f"the database {where} does not take a value: {reason}") from None
        raise StoreError(f"can't use the database {where}: {reason}") from None


def once_more(method: Callable[P, R]) -> Callable[P, R]:
    """For what adds a row unless it is there: of two at the same moment one is refused, and finds the other's row."""

    @wraps(method)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return method(*args, **kwargs)
        except IntegrityError:
            return method(*args, **kwargs)

    return run
