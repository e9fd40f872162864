"""A peer on a stream: entries out in one frame per loop turn, entries in by handler, requests with answers.

Outer ring: picows on the running event loop. Client, server and worker each derive their side from `Peer`.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, cast

from picows import (
    WSFrame,
    WSListener,
    WSMsgType,
    WSTransport,
    WSUpgradeRequest,
    WSUpgradeResponseWithListener,
    ws_connect,  # pyright: ignore[reportUnknownVariableType]
    ws_create_server,  # pyright: ignore[reportUnknownVariableType]
)

from .codec import BadMessage, decode, encode
from .messages import Failure
from .wire import CONTROL, MAX_FRAME, entries

FRAME_TARGET = 8 << 20
"""Entries are joined to a frame until it has this many bytes; a longer queue makes several frames."""


class ConnectionLost(ConnectionError):
    """The stream ended before the answer came."""


class Refused(Exception):
    """The other side answered a request with a Failure."""

    def __init__(self, type: str, message: str) -> None:
        super().__init__(message)
        self.type = type
        self.message = message


class _Handling:
    depth = 0


_handling = _Handling()
_waiting_to_send: list[Peer] = []


def flush() -> None:
    """Sends what every peer of this process has queued."""
    while _waiting_to_send:
        _waiting_to_send.pop()._flush()


class joined:
    """Within this block everything that is queued waits for its end, and then leaves at once, a frame a peer."""

    __slots__ = ()

    def __enter__(self) -> None:
        _handling.depth += 1

    def __exit__(self, *_: object) -> None:
        _handling.depth -= 1
        if not _handling.depth:
            flush()


class Peer(WSListener):
    """One end of a stream. Subclasses override `opened`, `closed`, `received`, `batch` and `frame_done`."""

    def __init__(self) -> None:
        super().__init__()
        self._loop = asyncio.get_running_loop()
        self._transport: WSTransport | None = None
        self._out: list[bytes] = []
        self._out_size = 0
        self._queued = False  # in the list of those that have something to send
        self._paused = False
        self._requests = 0
        self._waiting: dict[int, asyncio.Future[tuple[Any, bytes]]] = {}

    # --- for the side that derives

    def opened(self) -> None:
        """The handshake is done."""

    def closed(self) -> None:
        """The stream is gone; it will not come back under this object."""

    def received(self, message: Any, request: int, payload: bytes) -> None:
        """A message that is no answer. `request` > 0 must be answered by `reply` or `refuse`."""
        raise BadMessage(f"unexpected {type(message).__name__}")

    def batch(self, kind: int, header: memoryview, payload: memoryview) -> None:
        """A batch of inputs or results."""
        raise BadMessage(f"unexpected batch of kind {kind}")

    def frame_done(self) -> None:
        """All entries of a frame were handled."""

    # --- sending

    @property
    def connected(self) -> bool:
        """Whether something that is sent now has a chance to arrive."""
        return self._transport is not None

    @property
    def backlog(self) -> int:
        """Bytes that wait here because the other side reads more slowly than we write."""
        return self._out_size

    def send_entry(self, entry: bytes) -> None:
        """Queues one packed entry; it leaves with all that is queued while the event under way is handled."""
        self._out.append(entry)
        self._out_size += len(entry)
        if not self._queued and not self._paused:
            self._queued = True
            _waiting_to_send.append(self)
            if not _handling.depth:
                self._loop.call_soon(flush)

    def send(self, message: Any, payload: bytes | memoryview = b"", request: int = 0) -> None:
        """Queues a message that wants no answer."""
        self.send_entry(encode(message, request, payload))

    def reply(self, request: int, message: Any, payload: bytes | memoryview = b"") -> None:
        """Answers a request."""
        if request > 0:
            self.send(message, payload, -request)

    def refuse(self, request: int, type: str, message: str) -> None:
        """Answers a request with a failure of that class of ionian.exception."""
        self.reply(request, Failure(type, message))

    def request(self, message: Any, payload: bytes | memoryview = b"") -> asyncio.Future[tuple[Any, bytes]]:
        """Sends a request; the future holds the answer and its payload, or Refused, or ConnectionLost."""
        future: asyncio.Future[tuple[Any, bytes]] = self._loop.create_future()
        if self._transport is None:
            future.set_exception(ConnectionLost("the stream is closed"))
            return future
        self._requests += 1
        self._waiting[self._requests] = future
        self.send(message, payload, self._requests)
        return future

    def disconnect(self) -> None:
        """Ends the stream after what was queued is sent."""
        self._flush()
        if self._transport is not None:
            self._transport.disconnect()

    def _flush(self) -> None:
        self._queued = False
        out, self._out, self._out_size = self._out, [], 0
        transport = self._transport
        if transport is None or not out:
            return
        if len(out) == 1:
            transport.send(WSMsgType.BINARY, out[0])
            return
        frame: list[bytes] = []
        size = 0
        for entry in out:
            if size and size + len(entry) > FRAME_TARGET:
                transport.send(WSMsgType.BINARY, b"".join(frame))
                frame, size = [], 0
            frame.append(entry)
            size += len(entry)
        transport.send(WSMsgType.BINARY, b"".join(frame))

    # --- picows

    def on_ws_connected(self, transport: WSTransport) -> None:
        self._transport = transport
        self.opened()

    def on_ws_disconnected(self, transport: WSTransport) -> None:
        self._transport = None
        waiting, self._waiting = self._waiting, {}
        for future in waiting.values():
            if not future.done():
                future.set_exception(ConnectionLost("the stream was closed before the answer came"))
        self.closed()

    def pause_writing(self) -> None:
        self._paused = True

    def resume_writing(self) -> None:
        self._paused = False
        if self._out:
            self._flush()

    def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
        if frame.msg_type == WSMsgType.CLOSE:
            transport.disconnect()
            return
        if frame.msg_type != WSMsgType.BINARY:
            return
        _handling.depth += 1  # `with joined():`, spelled out: this runs four times in every call
        try:
            for kind, header, payload in entries(frame.get_payload_as_bytes()):
                if kind != CONTROL:
                    self.batch(kind, header, payload)
                else:
                    self._control(header, payload)
            self.frame_done()
        finally:
            _handling.depth -= 1
            if not _handling.depth and _waiting_to_send:
                if _waiting_to_send == [self]:
                    self._loop.call_soon(flush)  # with what comes of its frames that were read together
                else:
                    flush()

    def _control(self, header: memoryview, payload: memoryview) -> None:
        message, request = decode(header)
        if request < 0:
            self._answered(-request, message, bytes(payload))
        else:
            self.received(message, request, bytes(payload))

    def _answered(self, request: int, message: Any, payload: bytes) -> None:
        future = self._waiting.pop(request, None)
        if future is None or future.done():
            return
        if isinstance(message, Failure):
            future.set_exception(Refused(message.type, message.message))
        else:
            future.set_result((message, payload))


_OPTIONS: dict[str, Any] = {
    "max_frame_size": MAX_FRAME,
    "enable_auto_ping": True,
    "auto_ping_idle_timeout": 30,
    "auto_ping_reply_timeout": 30,
    "read_buffer_init_size": 1 << 18,
}
"""How every stream is opened: pings after 30 s of silence, gone after 30 s more without an answer."""


P = TypeVar("P", bound=Peer)


LOCAL = "ws+unix:"
"""How the URL of a stream on this machine begins; the path of its socket follows."""


class LocalSocket(socket.socket):
    """A Unix socket that takes the options of a TCP socket for what they are to it: nothing. picows sets some.

    A stream on one machine needs no TCP: measured here, a frame there and back costs 18 µs and not 74.
    """

    def setsockopt(self, *options: Any) -> None:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Sets an option, if the socket knows it."""
        with contextlib.suppress(OSError):
            super().setsockopt(*options)

    def getsockopt(self, *options: Any) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """The value of an option; 0 of one that the socket does not know."""
        try:
            return cast(Any, super()).getsockopt(*options)
        except OSError:
            return 0

    def accept(self) -> tuple[socket.socket, Any]:
        """The next connection, of the same kind."""
        accepted, address = super().accept()
        return LocalSocket(self.family, self.type, self.proto, fileno=accepted.detach()), address


def connect_local(url: str) -> LocalSocket:
    """A socket to a server on this machine. Raises OSError."""
    made = LocalSocket(socket.AF_UNIX)
    try:
        made.connect(url.removeprefix(LOCAL))
    except OSError:
        made.close()
        raise
    made.setblocking(False)
    return made


async def dial(url: str, make: Callable[[], P]) -> P:
    """Opens a stream; returns our end, made by `make`. Raises OSError or a picows error."""
    if url.startswith(LOCAL):
        local = connect_local(url)
        _, peer = await ws_connect(make, "ws://localhost/", socket_factory=lambda _: local, **_OPTIONS)
    else:
        _, peer = await ws_connect(make, url, **_OPTIONS)
    return cast(P, peer)


Accept = Callable[[WSUpgradeRequest], Peer | WSUpgradeResponseWithListener | None]
"""Makes our end of a stream; or answers plain HTTP; or, with None, refuses it."""


async def listen_local(accept: Accept, path: Path) -> tuple[asyncio.Server, str]:
    """Listens for streams of this machine on a Unix socket; what lies at its path gives way. Raises OSError."""
    path.unlink(missing_ok=True)
    local = LocalSocket(socket.AF_UNIX)
    local.bind(str(path))
    local.listen(128)
    local.setblocking(False)
    server: asyncio.Server = await ws_create_server(accept, sock=local, **_OPTIONS)
    return server, f"{LOCAL}{path}"


async def listen(accept: Accept, host: str, port: int) -> tuple[asyncio.Server, str]:
    """Listens for streams; returns the server and its URL.

    Raises OSError where the address can't be had.
    """
    server: asyncio.Server = await ws_create_server(accept, host, port, **_OPTIONS)
    bound: tuple[str, int] = server.sockets[0].getsockname()[:2]
    return server, f"ws://[{bound[0]}]:{bound[1]}" if ":" in bound[0] else f"ws://{bound[0]}:{bound[1]}"
