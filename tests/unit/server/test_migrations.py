from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

from ionian.machine.state import StateFolder
from ionian.server.store import Store, StoreError
from ionian.server.store.database import Database, use_wal
from ionian.server.store.migrate import HEAD, configuration
from ionian.server.store.schema import Row


def test_the_migrations_make_the_schema_of_the_code(store: Store) -> None:
    with store.database.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Row.metadata) == []


def test_the_head_that_the_code_names_is_the_newest_migration(store: Store) -> None:
    with store.database.engine.connect() as connection:
        revisions = ScriptDirectory.from_config(configuration(connection))
    assert revisions.get_current_head() == HEAD
    assert sorted(each.revision for each in revisions.walk_revisions()) == [
        f"{number + 1:04}" for number in range(int(HEAD))
    ]


def test_a_database_of_a_newer_version_is_refused_with_both_named(url: str) -> None:
    store = Store.open(url)
    with store.database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '9001'"))
    store.close()
    with pytest.raises(StoreError, match=f"schema 9001, made by a newer Ionian.* up to {HEAD}"):
        Store.open(url)


def test_what_an_earlier_version_kept_is_there_after_its_migration(url: str) -> None:
    database = Database(url)
    with database.writing_connection() as connection, connection.begin():
        command.upgrade(configuration(connection), "0001")
        connection.execute(text("INSERT INTO environments VALUES ('main', 1.0)"))
        connection.execute(
            text("INSERT INTO apps VALUES ('ap-1', 'main', 'old', true, 'cl-1', 'detached', 2.0, NULL, '')")
        )
        row = {
            "spec": '{"function_id": "fu-1", "tag": "f", "module": "m", "qualname": "f", "image_id": "im-1"}'
        }
        connection.execute(text("INSERT INTO functions VALUES ('fu-1', 'ap-1', 'main', 'f', :spec)"), row)
        connection.execute(text("INSERT INTO blob_grants VALUES ('ap-1', 'aa', 'main', 3.0)"))
        connection.execute(text("INSERT INTO volumes VALUES ('vo-1', 'main', 'data', 4.0)"))
    database.close()
    store = Store.open(url)
    (app,) = store.apps.live()
    assert (app.app_id, app.version, app.deployed_at, app.tags) == ("ap-1", 0, None, "{}")
    (spec,) = store.functions.of("ap-1")
    assert (spec.function_id, spec.retries, spec.concurrency.max_inputs, spec.version) == ("fu-1", None, 1, 0)
    assert store.volumes.missing("main", {"vo-1", "vo-2"}) == {"vo-2"}
    with store.database.read() as session:
        assert session.execute(text("SELECT digest FROM blob_grants")).scalar() == "aa"
    store.close()


def test_results_are_numbered_past_32_bits(url: str) -> None:
    store = Store.open(url)
    with store.database.write() as session:
        session.execute(text(_CALL))
        if store.database.is_sqlite:
            session.execute(text(_RESULT.format(", number", f", {1 << 31}")))
        else:
            session.execute(text(f"SELECT setval('call_results_number_seq', {(1 << 31) - 1})"))
            session.execute(text(_RESULT.format("", "")))
    with store.database.read() as session:
        assert session.execute(text("SELECT number FROM call_results")).scalar() == 1 << 31
    store.close()


_CALL = (
    "INSERT INTO calls (call_id, app_id, environment, function_id, tag, parent, created_at, total, complete, done, "
    "cancelled) VALUES ('fc-1', 'ap-1', 'main', 'fu-1', 'f', '', 1.0, 1, true, 1, false)"
)
_RESULT = (
    'INSERT INTO call_results (call_id, low, high, blobs, "columns", payload{0}) '
    "VALUES ('fc-1', 0, 0, '', '', ''{1})"
)


def test_servers_that_start_at_once_migrate_once(url: str) -> None:
    with ThreadPoolExecutor(4) as threads:
        stores = list(threads.map(Store.open, [url] * 4))
    for store in stores:
        assert store.environments.names() == ["main"]
        store.close()


def refused(code: int) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError("database is locked")
    error.sqlite_errorcode = code
    return error


class Cursor:
    """One of SQLite's that refuses what it is told first."""

    def __init__(self, *refusals: sqlite3.OperationalError) -> None:
        self.refusals = list(refusals)
        self.told = 0

    def execute(self, _: str) -> None:
        self.told += 1
        if self.refusals:
            raise self.refusals.pop(0)


def test_a_log_that_another_server_makes_at_the_same_moment_is_asked_for_again() -> None:
    cursor = Cursor(refused(sqlite3.SQLITE_BUSY), refused(sqlite3.SQLITE_BUSY_RECOVERY))
    use_wal(cursor)
    assert cursor.told == 3


@pytest.mark.parametrize(("code", "patience_s"), [(sqlite3.SQLITE_BUSY, -1.0), (sqlite3.SQLITE_IOERR, 30.0)])
def test_a_log_that_can_not_be_had_is_no_secret(code: int, patience_s: float) -> None:
    with pytest.raises(sqlite3.OperationalError, match="database is locked"):
        use_wal(Cursor(refused(code)), patience_s)


def test_what_is_no_database_is_named(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_bytes(b"not a database at all" * 100)
    with pytest.raises(
        StoreError, match=r"can't use the database sqlite:.*state\.db: file is not a database"
    ):
        Store.open(f"sqlite:///{tmp_path}/state.db")


@pytest.mark.parametrize("url", ["mysql://host/name", "state.db", "oracle://x"])
def test_an_unknown_url_is_refused_with_an_example(url: str) -> None:
    with pytest.raises(StoreError, match=r"expected a database URL such as sqlite:"):
        Store.open(url)


def test_a_password_in_a_url_is_not_repeated(tmp_path: Path) -> None:
    pytest.importorskip("psycopg")
    with pytest.raises(StoreError, match="can't use the database") as caught:
        Store.open(f"postgresql://user:hunter2@/name?host={tmp_path}")
    assert "hunter2" not in str(caught.value)


def test_sqlite_is_durable_before_it_answers(state: StateFolder) -> None:
    store = Store.open(state.database_url)
    with store.database.write() as session:
        pragmas = {
            name: session.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")
        }
    store.close()
    assert pragmas == {"journal_mode": "wal", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_opening_a_database_that_is_up_to_date_does_not_load_alembic(state: StateFolder) -> None:
    Store.open(state.database_url).close()
    code = (
        "import sys; from ionian.server.store import Store; Store.open(sys.argv[1]); "
        "sys.exit('alembic' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code, state.database_url], check=True, timeout=30)
