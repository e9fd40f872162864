"""Ports of containers that are reached from outside, by ports of this machine."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from typing import TYPE_CHECKING

from ..protocol.ids import ulid
from ..protocol.stream import Refused
from ..protocol.tunnels import PIECE, OpenTunnel, TunnelOpened
from .own_address import reached_at

if TYPE_CHECKING:
    from .web.certificate import Certificate

MOST = 16
"""Tunnels of one container."""

MOST_CONNECTIONS = 500
"""Of one tunnel, with those that wait for their container."""

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Tunnel:
    """One port of a container."""

    def __init__(self) -> None:
        self.servers: list[asyncio.Server] = []
        self.connections: dict[str, Streams] = {}
        self.new: asyncio.Queue[str] = asyncio.Queue()

    async def listen(self, host: str, context: ssl.SSLContext | None) -> tuple[str, int]:
        """Takes connections at a port that is free; returns where."""
        server = await asyncio.start_server(self._connected, host, 0, limit=PIECE, ssl=context)
        self.servers.append(server)
        found: tuple[str, int] = server.sockets[0].getsockname()[:2]
        return reached_at(found[0]), found[1]

    def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self.connections) >= MOST_CONNECTIONS:
            writer.close()
            return
        connection_id = ulid()
        self.connections[connection_id] = (reader, writer)
        self.new.put_nowait(connection_id)

    def close(self) -> None:
        """Ends it, and all connections."""
        for server in self.servers:
            server.close()
        for _, writer in self.connections.values():
            writer.close()
        self.connections.clear()
        self.new.put_nowait("")


class Tunnels:
    """Those of all containers. A tunnel ends with its container at the latest."""

    def __init__(self, host: str, certificate: Certificate | None) -> None:
        self._host = host
        self._certificate = certificate
        self._by_container: dict[str, dict[int, Tunnel]] = {}

    async def open(self, container_id: str, message: OpenTunnel) -> TunnelOpened:
        """Listens for a port of a container. Raises Refused."""
        port, own = message.port, self._by_container.setdefault(container_id, {})
        if not 0 < port < 65_536:
            raise Refused("InvalidError", f"port: expected one from 1 to 65535, got {port}")
        if port in own:
            raise Refused("InvalidError", f"port {port} is forwarded already")
        if len(own) >= MOST:
            raise Refused("ResourceExhaustedError", f"this container forwards {MOST} ports already")
        tunnel = own[port] = Tunnel()
        context = self._certificate.context if self._certificate is not None else None
        try:
            opened = TunnelOpened(*await tunnel.listen(self._host, context), context is not None)
            if message.unencrypted:
                plain = (opened.host, opened.port)
                if context is not None:
                    plain = await tunnel.listen(self._host, None)
                opened.unencrypted_host, opened.unencrypted_port = plain
        except OSError as error:
            self.close(container_id, port)
            raise Refused("ExecutionError", f"no port could be listened on: {error.strerror}") from None
        if self._by_container.get(container_id, {}).get(port) is not tunnel:  # its container ended meanwhile
            tunnel.close()
        return opened

    def close(self, container_id: str, port: int) -> None:
        """Ends a tunnel, if there is one."""
        tunnel = self._by_container.get(container_id, {}).pop(port, None)
        if tunnel is not None:
            tunnel.close()

    def gone(self, container_id: str) -> None:
        """A container has ended."""
        for tunnel in self._by_container.pop(container_id, {}).values():
            tunnel.close()

    def stop(self) -> None:
        """Ends all of them."""
        for container_id in list(self._by_container):
            self.gone(container_id)

    async def next(self, container_id: str, port: int) -> str:
        """The next connection to a port; "" where the tunnel is closed. Raises Refused."""
        tunnel = self._by_container.get(container_id, {}).get(port)
        if tunnel is None:
            raise Refused("NotFoundError", f"port {port} is not forwarded")
        return await tunnel.new.get()

    async def take(self, container_id: str, connection_id: str) -> bytes:
        """What the client has sent; nothing at its end. Raises Refused."""
        reader, _ = self._connection(container_id, connection_id)
        try:
            return await reader.read(PIECE)
        except (OSError, ssl.SSLError):
            return b""

    async def give(self, container_id: str, connection_id: str, data: bytes) -> None:
        """Something for the client; nothing: the end. Waits while the client is far behind. Raises Refused."""
        _, writer = self._connection(container_id, connection_id)
        try:
            if data:
                writer.write(data)
                await writer.drain()
            elif writer.can_write_eof():
                writer.write_eof()
            else:
                writer.close()
        except (OSError, ssl.SSLError, RuntimeError):
            raise Refused("NotFoundError", "the client has gone") from None

    def end(self, container_id: str, connection_id: str) -> None:
        """A connection is over."""
        for tunnel in self._by_container.get(container_id, {}).values():
            if (streams := tunnel.connections.pop(connection_id, None)) is not None:
                with contextlib.suppress(OSError, RuntimeError):
                    streams[1].close()

    def _connection(self, container_id: str, connection_id: str) -> Streams:
        for tunnel in self._by_container.get(container_id, {}).values():
            if (streams := tunnel.connections.get(connection_id)) is not None:
                return streams
        raise Refused("NotFoundError", "there is no such connection, or it is over")
