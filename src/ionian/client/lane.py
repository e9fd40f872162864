"""A stream of one thread: a blocking call goes out and comes back on it with no hop through the link's thread.

Waking another thread costs about 35 µs each way on a small machine, a seventh of a warm call. So a thread that makes
blocking calls borrows a lane: a WebSocket of its own over a plain socket, read by the thread that waits. What it
promises is what the link promises: after a cut the same input is sent again under the same ids.
"""

from __future__ import annotations

import base64
import contextlib
import os
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from urllib.parse import urlsplit

from .. import exception
from ..protocol.batch import OPENING, YIELD, Batch
from ..protocol.calls import CloseCalls, Confirm, OpenCall
from ..protocol.codec import decode, encode
from ..protocol.ids import new_id
from ..protocol.messages import Failure, Hello
from ..protocol.stream import LOCAL, connect_local
from ..protocol.wire import CALL, CONTROL, INPUTS, OUTPUTS, Entry, entries
from ..version import VERSION

Target = tuple[str, str]  # url, token

BUFFER = 32 << 10
"""Past 128 KiB malloc would map and unmap memory for each read."""
PATIENCE_S = 60.0
LOOK_S = 0.0005
"""So long a thread looks for its answer before it sleeps: a warm call takes less, and to wake up costs a third of one.
Measured in turn: 160 to 270 µs a call with it, 240 to 380 without."""

TELL_EVERY = 16
"""Ends of calls that are gathered before the server hears of them; an idle lane tells sooner (see `Lanes.sweep`)."""

IDLE_S = 20.0
"""A lane that nobody used for so long is closed: the server would soon ask whether it lives, and nobody reads."""

LANES_MAX = 32
"""Threads past this number share the link."""

# WebSocket (RFC 6455): the frames that we send and may get.
BINARY, CLOSE, PING, PONG = 0x2, 0x8, 0x9, 0xA
NO_MASK = bytes(4)
"""Clients must mask; a key of zeros is a mask, and leaves the payload as it is. Masks protect old proxies from
pages in browsers, which have no part in this."""


class Lane:
    """One stream, for one blocking call at a time."""

    def __init__(self, find: Callable[[], Target]) -> None:
        self._find = find
        self._peer_id = new_id("cl")
        self._socket: socket.socket | None = None
        self._data = b""  # read, and not yet taken apart
        self._ended: list[str] = []
        self._seq = 0
        self.used_at = 0.0
        self.eager = (
            False  # nobody else of this process waits: to look for the answer takes no core from others
        )

    def run(self, function_id: str, parent: str, payload: bytes) -> tuple[int, bytes]:
        """Runs one input; returns the code and payload of its result. Raises ConnectionError after a minute
        without a server."""
        call_id = new_id("fc")
        batch = Batch(call_id, (0,), (len(payload),), payload)
        opening = OPENING.pack(function_id.encode(), len(parent)) + parent.encode()
        entry = batch.pack(CALL, opening)
        try:
            return self._exchange(call_id, entry, OpenCall(call_id, function_id, parent, True), batch)
        except BaseException:
            self._give_up(call_id)
            raise

    def _exchange(self, call_id: str, entry: bytes, again: OpenCall, batch: Batch) -> tuple[int, bytes]:
        end, pause = time.monotonic() + PATIENCE_S, 0.02
        while True:
            try:
                if self._socket is None:
                    self._connect()
                self._send(entry)
                code, result = self._result(call_id)
                self._ended.append(call_id)
                return code, result
            except (OSError, EOFError) as error:
                self.close()
                entry = encode(again) + batch.pack(INPUTS)
                if time.monotonic() > end:
                    raise exception.ConnectionError(f"the server was lost: {error}") from None
                time.sleep(pause)
                pause = min(pause * 2, 1.0)

    def _send(self, entry: bytes) -> None:
        assert self._socket is not None
        self._socket.sendall(frame(BINARY, entry))
        if len(self._ended) >= TELL_EVERY:
            self.tell()  # while the server is busy with the call

    def tell(self) -> None:
        """Tells the server which results are here: it and its workers need not keep them."""
        if self._socket is not None and self._ended:
            ended, self._ended = self._ended, []
            self._socket.sendall(frame(BINARY, encode(Confirm(self._seq)) + encode(CloseCalls(ended))))

    def _result(self, call_id: str) -> tuple[int, bytes]:
        while True:
            for kind, header, payload in self._entries():
                if kind != OUTPUTS:
                    continue
                batch = Batch.unpack(header, payload)
                self._seq = batch.seq or self._seq
                if batch.call_id == call_id and batch.code[0] & 0xFF != YIELD:
                    return batch.code[0], bytes(batch.payload[: batch.size[0]])

    def _give_up(self, call_id: str) -> None:
        """The caller waits no more: the server is told, and what may still come on this stream goes with it."""
        self._ended.append(call_id)
        with contextlib.suppress(OSError):
            self.tell()
        self.close()

    def close(self) -> None:
        """Closes the stream; the next call opens another."""
        if self._socket is not None:
            self._socket.close()
        self._socket = None
        self._data = b""
        self._seq = 0  # a server that was started anew counts anew

    # --- WebSocket

    def _connect(self) -> None:
        url, token = self._find()
        sock = self._socket = open_socket(url)
        key = base64.b64encode(os.urandom(16)).decode()
        sock.sendall(
            "GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        while b"\r\n\r\n" not in self._data:
            self._read()
        head, _, self._data = self._data.partition(b"\r\n\r\n")
        if b" 101 " not in head.partition(b"\r\n")[0]:
            raise exception.ConnectionError(f"no server of Ionian answers at {url}")
        sock.sendall(frame(BINARY, encode(Hello("client", token, VERSION, self._peer_id), 1)))
        for kind, header, _ in self._entries():
            if kind == CONTROL and isinstance(failure := decode(header)[0], Failure):
                raise getattr(exception, failure.type, exception.ConnectionError)(failure.message)
        sock.settimeout(None)

    def _entries(self) -> Iterator[Entry]:
        """The entries of the next frame."""
        while True:
            opcode, payload = self._frame()
            if opcode == BINARY:
                return entries(payload)
            if opcode == CLOSE:
                raise EOFError("the server closed the stream")
            if opcode == PING and self._socket is not None:
                self._socket.sendall(frame(PONG, payload))

    def _frame(self) -> tuple[int, bytes]:
        while len(self._data) < 2:
            self._read()
        size, start = self._data[1] & 0x7F, 2
        if size == 126:
            size, start = self._number(">H", 4), 4
        elif size == 127:
            size, start = self._number(">Q", 10), 10
        while len(self._data) < start + size:
            self._read()
        opcode, payload = self._data[0] & 0x0F, self._data[start : start + size]
        self._data = self._data[start + size :]
        return opcode, payload

    def _number(self, form: str, end: int) -> int:
        while len(self._data) < end:
            self._read()
        return struct.unpack_from(form, self._data, 2)[0]

    def _read(self) -> None:
        assert self._socket is not None
        data = self._look() if self.eager else None
        if data is None:
            data = self._socket.recv(BUFFER)
        if not data:
            raise EOFError("the server closed the connection")
        self._data = self._data + data if self._data else data

    def _look(self) -> bytes | None:
        """What comes within the time of a warm call. None: it takes longer, so the thread shall sleep."""
        assert self._socket is not None
        end = time.perf_counter() + LOOK_S
        while time.perf_counter() < end:
            try:
                return self._socket.recv(BUFFER, socket.MSG_DONTWAIT)
            except BlockingIOError:
                continue
        return None


def open_socket(url: str) -> socket.socket:
    """A socket to a server; it waits at most 10 s for anything. Raises OSError."""
    if url.startswith(LOCAL):
        sock: socket.socket = connect_local(url)
        sock.settimeout(10)
        return sock
    place = urlsplit(url)
    assert place.hostname is not None
    sock = socket.create_connection((place.hostname, place.port or 80), timeout=10)
    sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return sock


def frame(opcode: int, payload: bytes) -> bytes:
    """A masked frame."""
    size = len(payload)
    if size < 126:
        head = struct.pack(">BB", 0x80 | opcode, 0x80 | size)
    elif size < 1 << 16:
        head = struct.pack(">BBH", 0x80 | opcode, 0x80 | 126, size)
    else:
        head = struct.pack(">BBQ", 0x80 | opcode, 0x80 | 127, size)
    return head + NO_MASK + payload


class Lanes:
    """The lanes of a process: lent to threads, the last used first."""

    def __init__(self, find: Callable[[], Target]) -> None:
        self._find = find
        self._idle: list[Lane] = []
        self._lent = 0
        self._lock = threading.Lock()

    def take(self) -> Lane | None:
        """A lane for the calling thread; None when there are enough."""
        with self._lock:
            if self._lent >= LANES_MAX:
                return None
            self._lent += 1
            lane = self._idle.pop() if self._idle else Lane(self._find)
            lane.eager = self._lent == 1
            return lane

    def give(self, lane: Lane) -> None:
        """The thread needs it no more."""
        lane.used_at = time.monotonic()
        with self._lock:
            self._lent -= 1
            self._idle.append(lane)

    def sweep(self) -> None:
        """Idle lanes tell what ended on them; those idle for long are closed. Called about once a second."""
        now = time.monotonic()
        with self._lock:
            for lane in self._idle[:]:
                with contextlib.suppress(OSError):
                    lane.tell()
                if now - lane.used_at > IDLE_S:
                    lane.close()
                    self._idle.remove(lane)

    def close(self) -> None:
        """Closes them all."""
        with self._lock:
            idle, self._idle = self._idle, []
        for lane in idle:
            with contextlib.suppress(OSError):
                lane.tell()
            lane.close()
