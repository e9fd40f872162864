"""The worker's end of a container's side stream: its first messages, and what user code asks for."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable

from ..protocol.wire import PREFIX, PREFIX_SIZE

log = logging.getLogger("ionian.worker")

ENTRY_MAX = 16 << 20
"""No entry of ours is longer; a container that announces more is heard no further."""


class Side(asyncio.Protocol):
    """Cuts the stream into entries."""

    def __init__(self, received: Callable[[bytes], None], closed: Callable[[], None]) -> None:
        self._received = received
        self._closed = closed
        self._buffer = bytearray()
        self.broken = False
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport) or hasattr(transport, "write")
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer
        buffer += data
        while len(buffer) >= PREFIX_SIZE:
            _, header_size, payload_size = PREFIX.unpack_from(buffer)
            size = PREFIX_SIZE + header_size + payload_size
            if size > ENTRY_MAX:
                log.warning("a container announced a message of %d bytes and is heard no further", size)
                self.broken = True
                self.close()
                return
            if len(buffer) < size:
                return
            entry = bytes(buffer[:size])
            del buffer[:size]
            self._received(entry)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._closed()

    def send(self, entry: bytes) -> None:
        """Sends an entry to the agent."""
        if self._transport is not None:
            self._transport.write(entry)

    def close(self) -> None:
        """Ends the stream."""
        if self._transport is not None:
            self._transport.close()

    def pause(self, pause: bool) -> None:
        """Stops or resumes reading what the container asks for."""
        if self._transport is None or self._transport.is_closing():
            return
        if pause:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()


async def open_side(
    sock: socket.socket, received: Callable[[bytes], None], closed: Callable[[], None]
) -> Side:
    """The side stream over the worker's end of a socket pair."""
    loop = asyncio.get_running_loop()
    _, side = await loop.create_unix_connection(lambda: Side(received, closed), sock=sock)
    return side
