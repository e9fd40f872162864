"""Results that wait for an earlier one: in memory up to a bound, the rest in a file without a name."""

from __future__ import annotations

import os
import tempfile
import threading
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from .protocol.batch import Batch

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


class Inbox:
    """Batches of results on their way from the link's thread to the thread that asked for them.

    A consumer that takes its time between two results lets them pile up here; past a bound they wait on disk.
    """

    def __init__(self, in_memory: int = IN_MEMORY) -> None:
        self._limit = in_memory
        self._put = 0  # bytes, counted by the link's thread alone
        self._taken = 0  # and by the other thread alone
        self._lock = threading.Lock()
        self._places: dict[int, tuple[int, int]] = {}  # id of a batch → offset and size of its payload
        self._file: IO[bytes] | None = None
        self._end = 0

    def hold(self, batch: Batch) -> None:
        """Takes a batch in; its payload may be put aside."""
        size = len(batch.payload)
        if self._put - self._taken + size <= self._limit:
            self._put += size
            return
        try:
            self._put_aside(batch, size)
        except OSError:  # the disk is full: memory may still do
            self._put += size

    def _put_aside(self, batch: Batch, size: int) -> None:
        with self._lock:
            if self._file is None:
                self._file = tempfile.TemporaryFile(prefix="ionian-", buffering=0)  # noqa: SIM115
            view, offset = memoryview(batch.payload), self._end
            while view:
                written = os.pwrite(self._file.fileno(), view, self._end)
                self._end += written
                view = view[written:]
            self._places[id(batch)] = (offset, size)
            batch.payload = b""

    def release(self, batch: Batch) -> None:
        """Gives a batch out, with its payload."""
        if id(batch) not in self._places:
            self._taken += len(batch.payload)
            return
        with self._lock:
            offset, size = self._places.pop(id(batch))
            assert self._file is not None
            self._file.seek(offset)
            batch.payload = self._file.read(size)
            if not self._places:
                self._file.truncate(0)
                self._end = 0

    def close(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._places.clear()
            if self._file is not None:
                self._file.close()
                self._file = None
