"""An app behind the server's own listener, over real sockets."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any, TypeVar

import uvicorn

from ionian.server.web.listener import config_of

Site = TypeVar("Site")


def free_socket() -> tuple[socket.socket, int]:
    """A socket on a free port of this machine, and the port."""
    sock = socket.socket()
    sock.bind(("127.0.0.1", 0))
    return sock, sock.getsockname()[1]


@asynccontextmanager
async def served(app: Any, sock: socket.socket) -> AsyncGenerator[None]:
    """Clients of the socket have this app until the end."""
    server = uvicorn.Server(config_of(app))
    serving = asyncio.ensure_future(server._serve([sock]))  # pyright: ignore[reportPrivateUsage]
    try:
        while not server.started:
            await asyncio.sleep(0)
        yield
    finally:
        server.should_exit = server.force_exit = True
        await serving


def run_with(
    site: Callable[[], AbstractAsyncContextManager[Site]], story: Callable[[Site], Awaitable[None]]
) -> None:
    """Plays a story with a site of its own."""

    async def with_site() -> None:
        async with site() as made:
            await story(made)

    asyncio.run(with_site())
