"""Pickled values on their way in and out of a container: bytes, or where they are large a file, of which a part is in
memory at a time. So a container has a large value once in memory, and needs no room for its pickle beside it."""

from __future__ import annotations

import os
from typing import Any

from ..exception import ResourceExhaustedError
from ..protocol.wire import MAX_INLINE
from ..serialization import MAIN, dump, dumps, load, loads

FOLDER = "/tmp"
"""On the worker's disk: what is in its files counts as memory of the container only as long as nobody needs that."""

MEMFD_CREATE = {"x86_64": 319, "aarch64": 279}
MFD_CLOEXEC = 1
"""Pythons that were built for an older libc, as many standalone ones, have no `os.memfd_create` (astral-sh/uv#15081)."""

QUICK = {int, float, bool, type(None)}
FLAT = {str, bytes}
"""Small in their pickles whatever the value is, or as long as it is short: most results. A sink costs 0.8 µs."""

SHORT = 64 << 10

READ_AT_A_TIME = 1 << 20


class FilePayload:
    """A pickled value in a file without a name."""

    __slots__ = ("fd", "size")

    def __init__(self, fd: int, size: int) -> None:
        self.fd = fd
        self.size = size

    def __len__(self) -> int:
        return self.size

    def load(self) -> Any:
        """The value. The file is closed. Raises DeserializationError."""
        with open(self.fd, "rb", buffering=READ_AT_A_TIME) as file:
            file.seek(0)
            self.fd = -1
            return load(file)

    def close(self) -> None:
        """Lets go of the file; twice is harmless."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


class Raw(bytes):
    """What goes out as it is, not pickled: for who reads it and must not unpickle. `last`: its input ends behind it, most
    likely. `opening`: it says that its input has begun, which whatever follows says, too."""

    last: bool
    opening: bool

    def __new__(cls, content: bytes, last: bool = False, opening: bool = False) -> Raw:
        made = super().__new__(cls, content)
        made.last = last
        made.opening = opening
        return made


Payload = bytes | FilePayload

Row = tuple[int, int, int, int, Payload]
"""A result: index, attempt, code, micros, payload."""


def pickled(value: Any, what: str) -> Payload:
    """A value as bytes, or in a file where they are more than a message carries. Raises SerializationError, and
    ResourceExhaustedError where the disk has no room."""
    kind = value.__class__
    if kind in QUICK or (kind in FLAT and len(value) <= SHORT):
        return dumps(value)
    return dump(value, _Sink, what).payload()


def unpickled(payload: bytes | memoryview | FilePayload) -> Any:
    """The value again. Raises DeserializationError."""
    return payload.load() if isinstance(payload, FilePayload) else loads(payload)


class _Sink:
    """What a pickler writes to."""

    __slots__ = ("_file", "_parts", "_size", "names_main")

    def __init__(self) -> None:
        self.names_main = False
        self._parts: list[bytes] = []
        self._size = 0
        self._file: FilePayload | None = None

    def write(self, data: bytes | memoryview) -> None:
        """Takes a part: whole instructions of the pickle, or all of a large text or bytes object."""
        if data.__class__ is bytes and MAIN in data:
            self.names_main = True
        self._size += len(data)
        if self._file is None and self._size <= MAX_INLINE:
            self._parts.append(bytes(data))  # a view is of memory that is the pickler's
            return
        if self._file is None:
            self._file = FilePayload(unnamed_file(), 0)
            for part in self._parts:
                self._write(part)
            self._parts.clear()
        self._write(data)

    def _write(self, data: bytes | memoryview) -> None:
        assert self._file is not None
        view = memoryview(data)
        try:
            while view:
                view = view[os.write(self._file.fd, view) :]
        except OSError as error:
            raise ResourceExhaustedError(
                f"the disk of the container has no room for a result of {self._size:,} bytes or more: {error.strerror}"
            ) from None
        self._file.size = self._size

    def payload(self) -> Payload:
        """All of it."""
        if self._file is not None:
            return self._file
        return self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)


def unnamed_file() -> int:
    """A descriptor of a new file on disk; of one in memory where the folder for such files takes none."""
    try:
        return os.open(FOLDER, os.O_TMPFILE | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError:
        return file_in_memory()


def file_in_memory() -> int:
    """A descriptor of a new file in memory."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("payload")
    import ctypes

    fd = ctypes.CDLL(None, use_errno=True).syscall(MEMFD_CREATE[os.uname().machine], b"payload", MFD_CLOEXEC)
    if fd < 0:
        raise OSError(ctypes.get_errno(), f"no file in memory: {os.strerror(ctypes.get_errno())}")
    return fd
