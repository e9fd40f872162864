"""A server as far as it answers requests, and the peers that ask it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar, cast

from ionian.machine.state import StateFolder
from ionian.protocol.apps import ContainerInfo, CreateApp
from ionian.protocol.ids import new_id
from ionian.protocol.spec import FunctionSpec, Resources
from ionian.server.auth import Actor, container_actor
from ionian.server.blobs import BlobStore
from ionian.server.handlers import Context, handle
from ionian.server.master_key import KeyRing
from ionian.server.secrets import Secrets
from ionian.server.store import Store
from ionian.server.store.schema import App

T = TypeVar("T")


@dataclass
class RecordingEngine:
    """Notes what it was told; as an engine that has nothing to run."""

    published: list[tuple[App, list[FunctionSpec]]] = field(
        default_factory=list[tuple[App, list[FunctionSpec]]]
    )
    added: list[FunctionSpec] = field(default_factory=list[FunctionSpec])
    recreated: list[str] = field(default_factory=list[str])
    rolled: list[str] = field(default_factory=list[str])
    stopped: list[tuple[str, str]] = field(default_factory=list[tuple[str, str]])
    containers: list[ContainerInfo] = field(default_factory=list[ContainerInfo])
    ended: list[tuple[str, bool]] = field(default_factory=list[tuple[str, bool]])

    cut: list[str] = field(default_factory=list[str])

    def cut_off(self, token_id: str) -> None:
        self.cut.append(token_id)

    async def budget_changed(self) -> None:
        pass

    async def publish(self, app: App, specs: Sequence[FunctionSpec], *, recreate: bool = False) -> None:
        self.published.append((app, list(specs)))
        if recreate:
            self.recreated.append(app.app_id)

    async def roll(self, app: App, specs: Sequence[FunctionSpec], *, recreate: bool = False) -> None:
        await self.publish(app, specs, recreate=recreate)
        self.rolled.append(app.app_id)

    async def add(self, app: App, specs: Sequence[FunctionSpec]) -> None:
        self.added.extend(specs)

    async def fitted(self, tag: str, resources: Resources) -> Resources:
        return resources

    def containers_of(self, app_id: str) -> int:
        return 0

    def roster(self, environment: str, app_id: str) -> list[ContainerInfo]:
        return [info for info in self.containers if app_id in ("", info.app_id)]

    def cluster_size(self, container_id: str) -> int:
        return 0

    def app_of_container(self, container_id: str) -> str:
        return next((info.app_id for info in self.containers if info.container_id == container_id), "")

    def app_of_call(self, call_id: str) -> str:
        return ""

    def function_of_container(self, container_id: str) -> str:
        return "fu-1" if self.app_of_container(container_id) else ""

    def environment_of_container(self, container_id: str) -> str | None:
        return "main" if self.app_of_container(container_id) else None

    @property
    def knows_containers(self) -> bool:
        return True

    def pinned_version(self, container_id: str) -> int:
        return 0

    async def workers_back(self) -> None:
        pass

    def end_container(self, container_id: str, graceful: bool) -> bool:
        self.ended.append((container_id, graceful))
        return True

    async def stop_app(self, app_id: str, reason: str) -> None:
        self.stopped.append((app_id, reason))


class NoEndpoints:
    """The endpoints of a server that has none."""

    def urls_of(self, app_id: str) -> dict[str, str]:
        return {}


class Server:
    """The part of a server that answers requests, and peers that talk to it."""

    def __init__(self, state: StateFolder) -> None:
        self._loop = asyncio.Runner()
        self.engine = RecordingEngine()
        self.store = Store.open(state.database_url)
        secrets = Secrets(self.store.secrets, KeyRing.load(state.master_key))
        self.context = Context(state, self.store, BlobStore(state.blobs), secrets, self.engine)
        self.context.web = cast(Any, NoEndpoints())
        self.client = Actor("client", new_id("cl"), stream=1)

    def ask(self, message: Any, payload: bytes = b"", *, actor: Actor | None = None) -> Any:
        """The reply to a message; of the client where no other actor is named."""
        return self.exchange(message, payload, actor=actor)[0]

    def exchange(
        self, message: Any, payload: bytes = b"", *, actor: Actor | None = None
    ) -> tuple[Any, bytes]:
        """The same, with the reply's payload."""
        return self.run(handle(actor or self.client, message, payload, self.context))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the server's loop."""
        return self._loop.run(work)

    def close(self) -> None:
        """Ends the server."""
        self._loop.close()
        self.context.logbook.close()
        self.store.close()

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
