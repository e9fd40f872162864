"""Files that clients on this machine offer by descriptor: the server copies them itself, at the speed of the disk.

A client connects to a socket beside the server's own, passes descriptors, each under a key that it made up, and holds the
connection until its files are in their places. What an offer is for comes by the client's stream, where it is authorised.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import socket
import stat
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from ionian import faults
from ionian.protocol.volumes import KEY_BYTES

P = ParamSpec("P")
R = TypeVar("R")

FICLONE = 0x40049409
PART = 64 << 20
"""Bytes that one request copies: between two its client shows how far it is, or is found to be gone."""

OPEN_MAX = 256
"""Descriptors of clients that are held at once. A client offers a few, and each is closed when its copy is complete."""

TOGETHER = 2
"""Copies under way at once: each keeps a core busy."""

NOT_ALIKE = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What copy_file_range says of two file systems between which it can't copy."""


class Changed(Exception):
    """A file is not what it was when its copy was begun."""


class Offer:
    """One file, and the draft that its copy becomes."""

    def __init__(self, descriptor: int) -> None:
        self._source = descriptor
        self._first: os.stat_result | None = None
        self._busy = threading.Lock()
        self._closed = False
        self.copied = 0
        self.draft: Path | None = None
        self.complete = False

    @property
    def size(self) -> int:
        """How large the file was at the begin of the copy."""
        return self._first.st_size if self._first is not None else 0

    def copy(self, draft: Path, offset: int) -> None:
        """Copies the next part; the first makes the draft. Blocks. Raises Changed, and OSError."""
        with self._busy:
            if self._closed:
                raise OSError(errno.ECONNABORTED, "its client has gone")
            if self.complete or offset < self.copied:  # asked again
                return
            if self.draft is None:
                self._begin(draft)
            assert self.draft is not None
            if faults.ARMED:
                faults.reach("volume.copied")
            target = os.open(self.draft, os.O_RDWR | os.O_CLOEXEC)
            try:
                self.copied += _copy_part(self._source, target, self.copied, self.size)
                self.complete = self.copied >= self.size
                if self._changed() or (not self.complete and self.copied == offset):
                    raise Changed("it changed while it was sent; send it again when it is complete")
            finally:
                os.close(target)
            if self.complete:
                self._let_go()

    def _begin(self, draft: Path) -> None:
        self._first = os.fstat(self._source)
        if not stat.S_ISREG(self._first.st_mode):
            raise OSError(errno.EINVAL, "it is no file with content")
        os.close(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        self.draft = draft

    def _changed(self) -> bool:
        assert self._first is not None
        now = os.fstat(self._source)
        return (now.st_size, now.st_mtime_ns) != (self._first.st_size, self._first.st_mtime_ns)

    def close(self) -> None:
        """Forgets it, once what is being copied now is. Its draft goes, too; what has its place by then stays there."""
        with self._busy:
            self._closed = True
            self._let_go()
            if self.draft is not None:
                self.draft.unlink(missing_ok=True)

    def _let_go(self) -> None:
        if self._source >= 0:
            os.close(self._source)
        self._source = -1

    @property
    def open(self) -> bool:
        """Whether its descriptor is held."""
        return self._source >= 0


class Offers:
    """What is offered now, by key."""

    def __init__(self) -> None:
        self._offers: dict[str, Offer] = {}
        self._connections: dict[socket.socket, set[str]] = {}
        self._listener: socket.socket | None = None
        self._threads = ThreadPoolExecutor(TOGETHER, thread_name_prefix="offers")

    def listen(self, path: Path) -> None:
        """Takes offers on a Unix socket. Raises OSError."""
        path.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._listener.bind(str(path))
        self._listener.listen(16)
        self._listener.setblocking(False)
        asyncio.get_running_loop().add_reader(self._listener, self._accept, self._listener)

    def stop(self) -> None:
        """Takes no more, and forgets all."""
        for connection in list(self._connections):
            self._gone(connection)
        if self._listener is not None:
            asyncio.get_running_loop().remove_reader(self._listener)
            self._listener.close()
            self._listener = None
        self._threads.shutdown()

    def find(self, key: str) -> Offer | None:
        """What is offered under a key."""
        return self._offers.get(key)

    def forget(self, key: str) -> None:
        """A file is in its place."""
        if (offer := self._offers.pop(key, None)) is not None:
            self._threads.submit(offer.close)

    async def in_thread(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Copies beside the loop, and beside the threads that everybody else's requests need."""
        work = self._threads.submit(function, *args, **kwargs)
        return await asyncio.wrap_future(work)

    def _accept(self, listener: socket.socket) -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            connection.setblocking(False)
            self._connections[connection] = set()
            asyncio.get_running_loop().add_reader(connection, self._read, connection)

    def _read(self, connection: socket.socket) -> None:
        try:
            key, descriptors, _, _ = socket.recv_fds(connection, KEY_BYTES + 1, 1)
        except BlockingIOError:
            return
        except OSError:
            self._gone(connection)
            return
        name = key.decode("ascii", "replace")
        held = sum(1 for offer in self._offers.values() if offer.open)
        if len(key) != KEY_BYTES or not descriptors or name in self._offers or held >= OPEN_MAX:
            for descriptor in descriptors:
                os.close(descriptor)
            self._gone(connection)
            return
        self._offers[name] = Offer(descriptors[0])
        self._connections[connection].add(name)
        with contextlib.suppress(OSError):
            connection.send(b"!")  # from now on it may be spoken of

    def _gone(self, connection: socket.socket) -> None:
        asyncio.get_running_loop().remove_reader(connection)
        connection.close()
        for key in self._connections.pop(connection, ()):
            if (offer := self._offers.pop(key, None)) is not None:
                self._threads.submit(offer.close)


def _copy_part(source: int, target: int, at: int, size: int) -> int:
    """Copies up to PART bytes at an offset; where the disk can share blocks, all at once. Returns how many."""
    if at == 0 and size:
        with contextlib.suppress(OSError):
            fcntl.ioctl(target, FICLONE, source)
            return size
    end = min(at + PART, size)
    begun = at
    while at < end:
        try:
            sent = os.copy_file_range(source, target, end - at, at, at)
        except OSError as error:
            if error.errno not in NOT_ALIKE:
                raise
            os.lseek(target, at, os.SEEK_SET)
            sent = os.sendfile(target, source, at, end - at)
        if sent == 0:
            break
        at += sent
    return at - begun
