"""The agent's two sockets: packets of inputs and results, and the side stream of messages."""

from __future__ import annotations

import array
import json
import os
import socket
from _thread import allocate_lock
from mmap import MAP_ANONYMOUS, MAP_PRIVATE, mmap
from typing import Any

from ..protocol.batch import ONE
from ..protocol.container import PACKET_MAX
from ..protocol.wire import CONTROL, MAX_INLINE, PREFIX, PREFIX_SIZE, entries, pack_entry
from .payloads import FilePayload, file_in_memory

BUFFER = 256 << 10
FD_SPACE = socket.CMSG_SPACE(4)
# As plain numbers: sums of enums are slow.
CLOEXEC, NO_WAIT = int(socket.MSG_CMSG_CLOEXEC), int(socket.MSG_DONTWAIT)


class Packets:
    """A SOCK_SEQPACKET end: one entry a packet, several where results are small; a large payload travels as a descriptor."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        # Pages that no packet reaches are never made: a bytearray would touch all 64 at each start.
        self._buffer = mmap(-1, BUFFER, MAP_PRIVATE | MAP_ANONYMOUS)
        self._view = memoryview(self._buffer)

    def fileno(self) -> int:
        """The descriptor, for who waits for it together with other things."""
        return self._sock.fileno()

    def receive(self, flags: int = 0) -> tuple[int, memoryview, memoryview | bytes | FilePayload] | None:
        """The next packet's kind, header and payload; None when no more will come. What it returns is valid until the
        next one. With NO_WAIT, raises BlockingIOError where none is there."""
        size, ancillary, _, _ = self._sock.recvmsg_into([self._buffer], FD_SPACE, CLOEXEC | flags)
        if size == 0:
            return None
        if not ancillary:
            return next(entries(self._view[:size]))
        kind, header_size, payload_size = PREFIX.unpack_from(self._buffer)
        header = self._view[PREFIX_SIZE : PREFIX_SIZE + header_size]
        fd = descriptor(ancillary)
        if header_size == ONE.size and payload_size > MAX_INLINE:  # it is read when it is unpickled
            return kind, header, FilePayload(fd, payload_size)
        return kind, header, read_fd(fd, payload_size)

    def send(self, kind: int, header: bytes, payload: bytes) -> None:
        """Sends one packet; waits while the other side is behind."""
        if len(header) + len(payload) <= PACKET_MAX:
            self._sock.send(pack_entry(kind, header, payload))
            return
        self.send_file(kind, header, FilePayload(memory_file(payload), len(payload)))

    def send_entries(self, packed: list[bytes]) -> None:
        """Sends packed entries, of PACKET_MAX in all at most, as one packet."""
        self._sock.send(packed[0] if len(packed) == 1 else b"".join(packed))

    def send_file(self, kind: int, header: bytes, payload: FilePayload) -> None:
        """The same with a payload in a file, which is closed."""
        try:
            socket.send_fds(self._sock, [PREFIX.pack(kind, len(header), len(payload)) + header], [payload.fd])
        finally:
            payload.close()


def descriptor(ancillary: list[tuple[int, int, bytes]]) -> int:
    """The descriptor that came with a packet."""
    fds = array.array("i")
    fds.frombytes(ancillary[0][2][:4])
    return fds[0]


def memory_file(payload: bytes | memoryview) -> int:
    """A descriptor of an unnamed file in memory that holds the payload."""
    fd = file_in_memory()
    view = memoryview(payload)
    while view:
        view = view[os.write(fd, view) :]
    return fd


def read_fd(fd: int, size: int) -> bytes:
    """The content of a descriptor, which is closed."""
    with os.fdopen(fd, "rb") as file:
        file.seek(0)
        content = file.read(size)
    if len(content) != size:
        raise EOFError(f"expected {size} bytes in a passed file, got {len(content)}")
    return content


class Messages:
    """A stream end: entries, one behind the other."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._sending = allocate_lock()

    def receive(self) -> tuple[int, bytes, bytes] | None:
        """The next entry's kind, header and payload; None at the end of the stream."""
        prefix = self._exactly(PREFIX_SIZE)
        if prefix is None:
            return None
        kind, header_size, payload_size = PREFIX.unpack(prefix)
        header, payload = self._exactly(header_size), self._exactly(payload_size)
        return None if header is None or payload is None else (kind, header, payload)

    def send(self, message: Any, request: int = 0, payload: bytes = b"") -> None:
        """Sends one message."""
        self.send_entry(pack_message(message, request, payload))

    def send_entry(self, entry: bytes) -> None:
        """Sends one packed entry. Safe to use from any thread."""
        with self._sending:
            self._sock.sendall(entry)

    def _exactly(self, size: int) -> bytes | None:
        parts: list[bytes] = []
        while size:
            part = self._sock.recv(min(size, 1 << 20))
            if not part:
                return None
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def pack_message(message: Any, request: int = 0, payload: bytes = b"") -> bytes:
    """One message as an entry."""
    body = [type(message).__name__, request, message.__dict__]
    header = json.dumps(body, separators=(",", ":"), default=vars)  # a message may hold others
    return pack_entry(CONTROL, header.encode(), payload)
