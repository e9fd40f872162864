"""A server's state for tests: the store on SQLite and on a real PostgreSQL, and a context for handlers."""

from __future__ import annotations

import asyncio
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Coroutine, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import pytest

from ionian.protocol.apps import CreateApp
from ionian.protocol.ids import new_id
from ionian.protocol.spec import FunctionSpec
from ionian.server.auth import Actor, container_actor
from ionian.server.blobs import BlobStore
from ionian.server.handlers import Context, handle
from ionian.server.secrets import MasterKey, Secrets
from ionian.server.state import StateFolder
from ionian.server.store import Store
from ionian.server.store.schema import App

T = TypeVar("T")
_numbers = count()


class Postgres:
    """A PostgreSQL of this run, reached by a Unix socket, with a new database for each test."""

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

    def new_database(self) -> str:
        name = f"test{next(_numbers)}"
        self._run("createdb", "-h", str(self.folder), "-U", "ionian", name)
        return f"postgresql://ionian@/{name}?host={self.folder}"

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
    return request.getfixturevalue("postgres").new_database()


@pytest.fixture
def store(url: str) -> Iterator[Store]:
    store = Store.open(url)
    yield store
    store.close()


@dataclass
class RecordingEngine:
    """Notes what it was told; as an engine that has nothing to run."""

    published: list[tuple[App, list[FunctionSpec]]] = field(
        default_factory=list[tuple[App, list[FunctionSpec]]]
    )
    stopped: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])

    async def publish(self, app: App, specs: Sequence[FunctionSpec]) -> None:
        self.published.append((app, list(specs)))

    async def stop_app(self, app_id: str, reason: str) -> None:
        self.stopped.append((app_id, reason))


class Server:
    """The part of a server that answers requests, and peers that talk to it."""

    def __init__(self, state: StateFolder) -> None:
        self.engine = RecordingEngine()
        self.store = Store.open(state.database_url)
        secrets = Secrets(self.store.secrets, MasterKey.load(state.master_key))
        self.context = Context(state, self.store, BlobStore(state.blobs), secrets, self.engine)
        self.client = Actor("client", new_id("cl"), stream=1)

    def ask(self, message: Any, payload: bytes = b"", *, actor: Actor | None = None) -> Any:
        """The reply to a message; of the client where no other actor is named."""
        return self.exchange(message, payload, actor=actor)[0]

    def exchange(
        self, message: Any, payload: bytes = b"", *, actor: Actor | None = None
    ) -> tuple[Any, bytes]:
        """The same, with the reply's payload."""
        return run(handle(actor or self.client, message, payload, self.context))

    def new_app(self, name: str = "app", **fields: Any) -> str:
        """The id of a new app of the client."""
        app_id = new_id("ap")
        self.ask(CreateApp(app_id, name, **fields))
        return app_id

    def container_of(self, app_id: str) -> Actor:
        """A container of an app."""
        app = self.store.apps.find(app_id)
        assert app is not None
        return container_actor(new_id("ta"), environment=app.environment, app_id=app_id)


@pytest.fixture
def server(state: StateFolder) -> Iterator[Server]:
    server = Server(state)
    yield server
    server.store.close()


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)
