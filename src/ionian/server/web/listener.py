"""The socket on which web endpoints are reached, apart from that of the server's own pages and streams."""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...machine.state import StateFolder
from ...protocol.web import MOST_MESSAGE
from ..own_address import bracketed, reached_at

if TYPE_CHECKING:
    from .certificate import Certificate
    from .web import Web

BACKLOG = 2048

KEEP_ALIVE_S = 60
"""An idle connection of a client ends after a minute."""

REFRESH_S = 60.0
"""How often it is looked whether the certificate was renewed."""

GRACE_S = 5
"""For so long responses may go on at the server's end."""


class Listener:
    """Runs uvicorn in the server's loop, from the first web endpoint on."""

    def __init__(
        self, web: Web, state: StateFolder, host: str, port: int, certificate: Certificate | None = None
    ) -> None:
        self._web = web
        self._state = state
        self._host = host
        self._port = port
        self.certificate = certificate
        self._refreshing: asyncio.TimerHandle | None = None
        self._serving: asyncio.Task[None] | None = None
        self._server: Any = None
        self.url = ""

    async def start(self) -> None:
        """Listens, if it does not yet. Raises OSError where a port that was asked for is taken."""
        if self._server is not None:
            return
        from .guard import make_room
        from .ingress import Ingress

        make_room()
        sock, self.url = listening(self._host, self._port, self._state.root / "web-port")
        config = config_of(Ingress(self._web))
        if self.certificate is not None:
            self.url = self.url.replace("http", "https", 1)
            config.load()
            config.ssl = self.certificate.context
            self._refresh(self.certificate)
        self._server = quiet(config)
        serving = self._serving = asyncio.ensure_future(self._server.serve(sockets=[sock]))
        while not self._server.started and not serving.done():
            await asyncio.sleep(0.005)

    def _refresh(self, certificate: Certificate) -> None:
        certificate.refresh()
        loop = asyncio.get_running_loop()
        self._refreshing = loop.call_later(REFRESH_S, self._refresh, certificate)

    async def stop(self) -> None:
        """Ends it, once responses have ended or their grace is over."""
        if self._serving is None:
            return
        if self._refreshing is not None:
            self._refreshing.cancel()
        self._server.should_exit = True
        await asyncio.wait([self._serving], timeout=GRACE_S + 2)


def listening(host: str, wanted: int, kept: Path) -> tuple[socket.socket, str]:
    """A socket that listens, and its URL. Its port is the one that is wanted, else that of before, so that addresses stay,
    unless another has it now. Raises OSError where the wanted one is taken."""
    before = int(kept.read_text()) if kept.exists() else 0
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    for port in [wanted] if wanted else [before, 0]:
        sock = socket.socket(family, socket.SOCK_STREAM)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            sock.bind((host, port))
        except OSError as error:
            sock.close()
            if error.errno != errno.EADDRINUSE or not port or wanted:
                raise
            continue
        sock.listen(BACKLOG)
        found: int = sock.getsockname()[1]
        if not wanted:
            kept.write_text(str(found))
        return sock, f"http://{bracketed(reached_at(host))}:{found}"
    raise OSError(errno.EADDRINUSE, "no port is free")


def config_of(app: Any, **otherwise: Any) -> Any:
    """How uvicorn serves an ASGI app here, but for what is to be otherwise."""
    import uvicorn

    from .guard import Guarded
    from .sockets import Socket

    # What is no HTTP is its sender's concern, and a line for each would be theirs to write.
    logging.getLogger("uvicorn.error").setLevel(logging.ERROR)
    settings: dict[str, Any] = {
        "interface": "asgi3",
        "http": Guarded,
        "ws": Socket,
        "ws_max_size": MOST_MESSAGE,
        "lifespan": "off",
        "log_config": None,
        "access_log": False,
        "server_header": False,
        "date_header": True,
        "proxy_headers": True,
        "forwarded_allow_ips": "127.0.0.1,::1",
        "timeout_keep_alive": KEEP_ALIVE_S,
        "timeout_graceful_shutdown": GRACE_S,
        "backlog": BACKLOG,
    }
    return uvicorn.Config(app, **(settings | otherwise))


def quiet(config: Any) -> Any:
    """A server of uvicorn that leaves the process's signals alone: they are ours."""
    from contextlib import nullcontext

    import uvicorn

    class Quiet(uvicorn.Server):
        def capture_signals(self) -> Any:
            return nullcontext()

    return Quiet(config)
