"""What handlers work with: the store, the blobs, the secrets, and the engine that runs functions."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import ParamSpec, Protocol, TypeVar

from ionian.protocol.spec import FunctionSpec

from ..blobs import BlobStore
from ..secrets import Secrets
from ..state import StateFolder
from ..store import Store
from ..store.schema import App
from .uploads import Uploads

P = ParamSpec("P")
R = TypeVar("R")


class Engine(Protocol):
    """The part of the server that runs functions."""

    async def publish(self, app: App, specs: Sequence[FunctionSpec]) -> None:
        """These are the functions of the app from now on. They are in the store already."""
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
    uploads: Uploads = field(default_factory=Uploads)


async def in_thread(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs what waits for the disk beside the event loop."""
    return await asyncio.to_thread(function, *args, **kwargs)
