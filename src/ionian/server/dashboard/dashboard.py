"""The dashboard of one server: its port, which is open from the start, and its pages, made for the first who comes."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from ..web.listener import config_of, listening, quiet
from .entrance import Entrance

if TYPE_CHECKING:
    from ..server import Server

log = logging.getLogger("ionian.server")

WATCHED_S = 15.0
"""A page that asked within this time is looked at: the server is not idle."""

GRACE_S = 1
"""So long answers that are under way may go on at the server's end."""

KEEP_ALIVE_S = 5
"""So long a connection may wait for its next request: there are few."""

MOST_REQUESTS = 256
"""Connections and requests at once; who comes past that is told to come again."""


class Dashboard:
    """Until somebody comes it is a socket: a server that a run started spends nothing on pages."""

    def __init__(self, server: Server, *, host: str, port: int, url: str) -> None:
        self.server = server
        self.url = url.rstrip("/")
        self.behind_proxy = bool(url)
        self._host = host
        self._port = port
        self._own_port = 0
        self._seen_at = -WATCHED_S
        self._socket: socket.socket | None = None
        self._opening: asyncio.Task[None] | None = None
        self._uvicorn: Any = None
        self._serving: asyncio.Task[None] | None = None
        self.entrance = Entrance(server.store, server.state.runtime / "dashboard.key", server.attempts)

    def start(self) -> None:
        """Opens its port. Raises OSError where one that was asked for is taken."""
        self._socket, own_url = listening(self._host, self._port, self.server.state.root / "dashboard-port")
        self._own_port = int(own_url.rpartition(":")[2])
        self.url = self.url or own_url
        self._socket.setblocking(False)
        asyncio.get_running_loop().add_reader(self._socket.fileno(), self._someone_comes)

    @property
    def is_open(self) -> bool:
        """Whether it has its port."""
        return self._socket is not None

    @property
    def port(self) -> int:
        """The port that it has itself, whatever proxy is in front."""
        return self._own_port

    def _someone_comes(self) -> None:
        assert self._socket is not None
        asyncio.get_running_loop().remove_reader(self._socket.fileno())
        self._opening = asyncio.ensure_future(self._open(self._socket))

    async def _open(self, sock: socket.socket) -> None:
        try:
            self._uvicorn = await asyncio.to_thread(self._made)
        except Exception:
            log.exception("the dashboard could not be opened")
            return
        self._serving = asyncio.ensure_future(self._uvicorn.serve(sockets=[sock]))

    def _made(self) -> Any:
        """Imports much: in a thread, so that calls go on meanwhile."""
        from .site import site

        return quiet(
            config_of(
                site(self),
                ws="none",
                timeout_keep_alive=KEEP_ALIVE_S,
                timeout_graceful_shutdown=GRACE_S,
                limit_concurrency=MOST_REQUESTS,
            )
        )

    @property
    def hosts(self) -> frozenset[str] | None:
        """The names under which it may be asked for; None: any. A page elsewhere whose name was made to lead to this
        machine is not to read what is here."""
        loopback = self._host in ("127.0.0.1", "::1", "localhost")
        if not loopback and not self.behind_proxy:
            return None
        own = {urlsplit(self.url).hostname or ""} if self.behind_proxy else set[str]()
        return frozenset({"127.0.0.1", "localhost", "::1", *own})

    def link(self, token_id: str, path: str) -> str:
        """A link that lets one browser in, to this page, with the rights of the token."""
        return f"{self.url}/enter?code={self.entrance.code(token_id)}&to={quote(path, safe='')}"

    def seen(self) -> None:
        """Somebody looks at a page now."""
        self._seen_at = time.monotonic()

    @property
    def watched(self) -> bool:
        """Whether somebody looks at a page."""
        return time.monotonic() - self._seen_at < WATCHED_S

    async def stop(self) -> None:
        """Closes the port, once answers that are under way have been given."""
        if self._opening is not None:
            await self._opening
        if self._serving is not None:
            self._uvicorn.should_exit = True
            await asyncio.wait([self._serving], timeout=GRACE_S + 2)
        elif self._socket is not None:
            asyncio.get_running_loop().remove_reader(self._socket.fileno())
            self._socket.close()
