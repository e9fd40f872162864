"""Tunnels: a port of this container, reached from outside it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from . import link
from .arguments import flag, integer
from .exception import Error, InvalidError
from .execution import is_local

if TYPE_CHECKING:
    import socket
    from types import TracebackType


class Tunnel:
    """Where a port of a container is reached; made by `modal.forward`."""

    encrypted = True

    def __init__(self, host: str, port: int, unencrypted_host: str, unencrypted_port: int) -> None:
        self.host = host
        self.port = port
        self.unencrypted_host = unencrypted_host
        self.unencrypted_port = unencrypted_port

    @property
    def url(self) -> str:
        """For what speaks HTTP: by HTTPS where the server has a certificate."""
        scheme = "https" if self.encrypted else "http"
        default = 443 if self.encrypted else 80
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}" + (f":{self.port}" if self.port != default else "")

    @property
    def tls_socket(self) -> tuple[str, int]:
        """Host and port for TLS. Raises InvalidError where the server has no certificate."""
        if not self.encrypted:
            raise InvalidError(
                "this server has no certificate for TLS: start it with --web-cert and --web-key, or take tcp_socket of "
                "modal.forward(port, unencrypted=True)"
            )
        return self.host, self.port

    @property
    def tcp_socket(self) -> tuple[str, int]:
        """Host and port for TCP as it is. Raises InvalidError unless it was asked for."""
        if not self.unencrypted_host:
            raise InvalidError("this tunnel has no plain TCP: write modal.forward(port, unencrypted=True)")
        return self.unencrypted_host, self.unencrypted_port

    def __repr__(self) -> str:
        return f"Tunnel({self.url!r})"


def forward(port: int, *, unencrypted: bool = False, h2_enabled: bool = False, client: Any = None) -> Forward:
    """A port of this container, reached from outside it while the block runs: `with` and `async with`.

    ```python
    with modal.forward(8000) as tunnel:
        print(tunnel.url)
        serve(8000)
    ```

    Args:
        port: what listens there listens on 127.0.0.1 or all addresses of the container.
        unencrypted: also as plain TCP: `tunnel.tcp_socket` is its host and port.

    Raises InvalidError outside a container, for a wrong argument, and where the port is forwarded already.
    """
    integer("port", port, least=1, most=65_535)
    flag("unencrypted", unencrypted)
    if h2_enabled:
        raise InvalidError("h2_enabled: expected False; what goes through a tunnel by TLS is HTTP/1.1")
    if client is not None:
        raise InvalidError("client: expected None; a container has its own way to its server")
    if is_local():
        raise InvalidError("modal.forward works in containers alone: it is their ports that it forwards")
    return Forward(port, unencrypted)


class Forward:
    """A port that is forwarded while its block runs."""

    def __init__(self, port: int, unencrypted: bool) -> None:
        self._port = port
        self._unencrypted = unencrypted

    def __enter__(self) -> Tunnel:
        from .protocol.tunnels import OpenTunnel

        opened, _ = link.current().request(OpenTunnel(self._port, self._unencrypted))
        made = Tunnel(opened.host, opened.port, opened.unencrypted_host, opened.unencrypted_port)
        made.encrypted = opened.encrypted
        _beside(self._take)
        return made

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        from .protocol.tunnels import CloseTunnel

        link.current().request(CloseTunnel(self._port))

    async def __aenter__(self) -> Tunnel:
        import asyncio

        return await asyncio.to_thread(self.__enter__)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        import asyncio

        await asyncio.to_thread(self.__exit__, kind, error, trace)

    def _take(self) -> None:
        """Takes connections until the tunnel is closed."""
        from .protocol.tunnels import TakeConnection

        try:
            while True:
                taken, _ = link.current().request(TakeConnection(self._port))
                if not taken.connection_id:
                    return
                _beside(_pass_on, taken.connection_id, self._port)
        except Error:
            return  # closed, or the server was started anew: the tunnel is not there any more


def _pass_on(connection_id: str, port: int) -> None:
    """One connection, to what listens here."""
    import socket

    from .protocol.tunnels import PIECE, EndConnection, GiveData

    try:
        with socket.create_connection(("127.0.0.1", port)) as ours:
            inward = _beside(_inward, ours, connection_id)
            while data := ours.recv(PIECE):
                link.current().request(GiveData(connection_id), data)
            link.current().request(GiveData(connection_id))
            inward.join()
    except (OSError, Error):
        pass  # one of both has gone
    finally:
        try:
            link.current().request(EndConnection(connection_id))
        except Error:
            pass


def _inward(ours: socket.socket, connection_id: str) -> None:
    import socket

    from .protocol.tunnels import TakeData

    try:
        while True:
            _, data = link.current().request(TakeData(connection_id))
            if not data:
                break
            ours.sendall(data)
        ours.shutdown(socket.SHUT_WR)
    except (OSError, Error):
        try:
            ours.shutdown(socket.SHUT_RDWR)  # wakes who reads
        except OSError:
            pass


def _beside(work: Any, *arguments: Any) -> threading.Thread:
    thread = threading.Thread(target=work, args=arguments, name="ionian-tunnel", daemon=True)
    thread.start()
    return thread
