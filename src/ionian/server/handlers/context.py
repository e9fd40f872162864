"""What handlers work with: the store, the blobs, the secrets, and the engine that runs functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator, Sequence
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, Protocol, TypeVar
from weakref import WeakValueDictionary

from ionian.protocol.apps import ContainerInfo
from ionian.protocol.spec import FunctionSpec, Resources

from ... import config
from ...machine.state import StateFolder
from ..blobs import BlobStore
from ..bucket import Bucket
from ..build_logs import BuildLogs
from ..logbook import LogBook
from ..offers import Offers
from ..prices import FILE, Prices
from ..secrets import Secrets
from ..store import Store
from ..store.schema import App
from ..volume_versions import VolumeVersions
from .uploads import Uploads

if TYPE_CHECKING:
    from ..dashboard import Dashboard
    from ..durable import Durable
    from ..image_garbage import ImageGarbage
    from ..items import Desk
    from ..layers import LayerExchange
    from ..terminals import Terminals
    from ..tunnels import Tunnels
    from ..web import Web

P = ParamSpec("P")
R = TypeVar("R")


class Engine(Protocol):
    """The part of the server that runs functions."""

    async def publish(self, app: App, specs: Sequence[FunctionSpec], *, recreate: bool = False) -> None:
        """These are the functions of the app from now on. They are in the store already.

        Containers of what is changed or gone end what they run first; with `recreate` all are ended at once.
        """
        ...

    async def add(self, app: App, specs: Sequence[FunctionSpec]) -> None:
        """The app has these functions, too: variants of others."""
        ...

    async def roll(self, app: App, specs: Sequence[FunctionSpec], *, recreate: bool = False) -> None:
        """Publishes, and replaces the containers of what was not changed, too."""
        ...

    async def fitted(self, tag: str, resources: Resources) -> Resources:
        """What workers can give each container of a function that asks for these. Raises Refused where none could
        ever hold one."""
        ...

    async def budget_changed(self) -> None:
        """What a budget allows counts from now on."""
        ...

    def cut_off(self, token_id: str) -> None:
        """Ends the connections of who came with a token."""
        ...

    def containers_of(self, app_id: str) -> int:
        """How many containers an app has now."""
        ...

    def roster(self, environment: str, app_id: str) -> list[ContainerInfo]:
        """The containers of an environment or app, and those that are wanted; without the names of apps."""
        ...

    def app_of_container(self, container_id: str) -> str:
        """The app of a container that is there now, or ""."""
        ...

    def cluster_size(self, container_id: str) -> int:
        """How many containers the cluster has that a container stands for; 0 where it stands for none."""
        ...

    def app_of_call(self, call_id: str) -> str:
        """The app of a call that goes on, or ""."""
        ...

    def function_of_container(self, container_id: str) -> str:
        """The function of a container that is there now, or ""."""
        ...

    def environment_of_container(self, container_id: str) -> str | None:
        """The environment of a container that is there now."""
        ...

    @property
    def knows_containers(self) -> bool:
        """Whether the workers have said, since the server's start, which containers there are."""
        ...

    def pinned_version(self, container_id: str) -> int:
        """The version of its app that a container stays in; 0 where it does not."""
        ...

    async def workers_back(self) -> None:
        """Waits, right after the server's start, until a worker has said which containers it has."""
        ...

    def end_container(self, container_id: str, graceful: bool) -> bool:
        """Ends a container; what it runs may end first, or runs elsewhere. False: it is not there."""
        ...

    async def stop_app(self, app_id: str, reason: str) -> None:
        """Ends the calls and containers of an app; done when they are gone and their usage is recorded.
        Harmless for an app that is unknown or has ended."""
        ...


@dataclass
class Context:
    """One a server."""

    state: StateFolder
    store: Store
    blobs: BlobStore
    secrets: Secrets
    engine: Engine
    bucket: Bucket | None = None  # for the content of volumes' versions
    uploads: Uploads = field(default_factory=Uploads)
    offers: Offers = field(default_factory=Offers)
    versions: VolumeVersions = field(init=False)
    logbook: LogBook = field(init=False)
    build_logs: BuildLogs = field(init=False)
    prices: Prices = field(init=False)
    durable: Durable = field(init=False)  # set by the server
    desk: Desk = field(init=False)  # likewise
    web: Web = field(init=False)  # likewise
    tunnels: Tunnels = field(init=False)  # likewise
    terminals: Terminals = field(init=False)  # likewise
    image_garbage: ImageGarbage = field(init=False)  # likewise
    layers: LayerExchange = field(init=False)  # likewise
    dashboard: Dashboard = field(init=False)  # likewise
    on_deleted: list[Callable[[str], None]] = field(default_factory=list[Callable[[str], None]])
    """Called with the id of an object that is there for nobody any more."""
    unheard: set[str] = field(default_factory=set[str])
    """Apps whose newest version is in the store, while the engine has not heard of it: that failed on the way, perhaps.
    Who deploys again finds it there, and has it run."""
    _app_locks: WeakValueDictionary[str, asyncio.Lock] = field(
        default_factory=WeakValueDictionary[str, asyncio.Lock]
    )

    def __post_init__(self) -> None:
        self.versions = VolumeVersions(self.state, self.store, self.blobs, self.bucket)
        self.logbook = LogBook(self.state.app_logs)
        self.build_logs = BuildLogs(self.state.build_logs)
        self.prices = Prices(Path(config.get("prices") or self.state.root / FILE).expanduser())

    @contextmanager
    def telling(self, app_id: str) -> Generator[None]:
        """While the engine is told of a version that the store has."""
        self.unheard.add(app_id)
        yield
        self.unheard.discard(app_id)

    def app_lock(self, app_id: str) -> asyncio.Lock:
        """Held while an app changes, so that the engine hears of changes in the order in which the store did."""
        lock = self._app_locks.get(app_id)
        if lock is None:
            lock = self._app_locks[app_id] = asyncio.Lock()
        return lock


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs what waits for the disk beside the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)


async def in_thread_of(threads: Executor, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """The same in threads that are for this alone."""
    return await asyncio.get_running_loop().run_in_executor(threads, partial(function, *args, **kwargs))
