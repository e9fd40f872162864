"""A server's state for tests: the store on SQLite and on a real PostgreSQL, and a context for handlers."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, text
from tests.unit.server.answering import Server

from ionian.machine.state import StateFolder
from ionian.server.store import Store


class Postgres:
    """A PostgreSQL of this run, reached by a Unix socket, with an empty database for each test."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.user: list[str] = []
        if os.getuid() == 0:  # PostgreSQL refuses to be root
            name = next((n for n in ("postgres", "nobody") if _exists(n)), "nobody")
            self.user = [
                "setpriv",
                "--reuid",
                name,
                "--regid",
                str(pwd.getpwnam(name).pw_gid),
                "--clear-groups",
            ]
            shutil.chown(folder, name)

    def start(self) -> None:
        options = f"-c listen_addresses= -c unix_socket_directories={self.folder} -c fsync=off"
        self._run("initdb", "-D", f"{self.folder}/data", "-U", "ionian", "-A", "trust", "--no-sync")
        self._run(
            "pg_ctl", "-D", f"{self.folder}/data", "-o", options, "-l", f"{self.folder}/log", "-w", "start"
        )

    def stop(self) -> None:
        self._run("pg_ctl", "-D", f"{self.folder}/data", "-m", "immediate", "-w", "stop")

    def empty_database(self) -> str:
        """Its URL. One database emptied again is quicker than one made anew."""
        url = f"postgresql://ionian@/postgres?host={self.folder}"
        engine = create_engine(url.replace("postgresql", "postgresql+psycopg", 1), poolclass=NullPool)
        with engine.begin() as connection:
            connection.execute(text("SET lock_timeout = '10s'"))
            connection.execute(text("DROP SCHEMA public CASCADE"))
            connection.execute(text("CREATE SCHEMA public"))
        return url

    def _run(self, *command: str) -> None:
        quiet = subprocess.DEVNULL
        subprocess.run([*self.user, *command], check=True, stdout=quiet, cwd=self.folder, timeout=60)


def _exists(user: str) -> bool:
    try:
        pwd.getpwnam(user)
    except KeyError:
        return False
    return True


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    pytest.importorskip("psycopg")
    if shutil.which("initdb") is None:
        pytest.skip("needs PostgreSQL's initdb on the PATH")
    folder = Path(tempfile.mkdtemp(prefix="ionian-postgres-"))
    server = Postgres(folder)
    try:
        server.start()
        yield server
        server.stop()
    finally:
        shutil.rmtree(folder)


@pytest.fixture
def state(tmp_path: Path) -> StateFolder:
    return StateFolder(tmp_path / "home")


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, state: StateFolder) -> str:
    """A new database of each kind."""
    if request.param == "sqlite":
        return state.database_url
    return request.getfixturevalue("postgres").empty_database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store.open(url)
    yield store
    store.close()


@pytest.fixture
def server(state: StateFolder) -> Iterator[Server]:
    server = Server(state)
    yield server
    server.close()
