"""A blob as a file: read from the server part by part, so that what is unpickled from it is in memory once."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from .exception import ConnectionError

if TYPE_CHECKING:
    from .link import Link

AT_A_TIME = 1 << 20


class _Blob(io.RawIOBase):
    def __init__(self, link: Link, digest: str, size: int) -> None:
        self._link = link
        self._digest = digest
        self._size = size
        self._at = 0

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: memoryview, /) -> int:  # type: ignore[override]
        length = min(len(buffer), AT_A_TIME, self._size - self._at)
        if not length:
            return 0
        part = self._link.read_blob(self._digest, self._at, length)
        if not part:
            raise ConnectionError(f"the server has only {self._at:,} of the {self._size:,} bytes of a result")
        buffer[: len(part)] = part
        self._at += len(part)
        return len(part)


def open_blob(link: Link, digest: str, size: int) -> io.BufferedReader:
    """A blob of so many bytes, to be read."""
    return io.BufferedReader(_Blob(link, digest, size), AT_A_TIME)
