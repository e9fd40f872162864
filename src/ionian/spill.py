"""Results that wait for an earlier one: in memory up to a bound, the rest in a file without a name."""

from __future__ import annotations

import tempfile
from typing import IO

IN_MEMORY = 128 << 20
"""Bytes of waiting results kept in memory; a slow first input with 100,000 quick ones behind fits easily."""


class Spill:
    """Payloads by index."""

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._limit = in_memory
        self._size = 0
        self._held: dict[int, tuple[int, bytes]] = {}
        self._spilled: dict[int, tuple[int, int, int]] = {}  # index → code, offset, size
        self._file: IO[bytes] | None = None

    def __contains__(self, index: int) -> bool:
        return index in self._held or index in self._spilled

    def put(self, index: int, code: int, payload: bytes) -> None:
        """Keeps a payload."""
        if self._size + len(payload) <= self._limit:
            self._held[index] = (code, payload)
            self._size += len(payload)
            return
        if self._file is None:
            self._file = tempfile.TemporaryFile(prefix="ionian-")  # noqa: SIM115 (closed when it is empty)
        self._file.seek(0, 2)
        self._spilled[index] = (code, self._file.tell(), len(payload))
        self._file.write(payload)

    def pop(self, index: int) -> tuple[int, bytes]:
        """Takes a payload out. Raises KeyError."""
        if index in self._held:
            code, payload = self._held.pop(index)
            self._size -= len(payload)
            return code, payload
        code, offset, size = self._spilled.pop(index)
        assert self._file is not None
        self._file.seek(offset)
        payload = self._file.read(size)
        if not self._spilled:
            self._file.close()
            self._file = None
        return code, payload

    def close(self) -> None:
        """Forgets everything."""
        self._held.clear()
        self._spilled.clear()
        if self._file is not None:
            self._file.close()
            self._file = None
