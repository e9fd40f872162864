"""The shelf: results that a container has and not yet sent, in memory that its worker sees too.

A container joins the results of quick inputs and sends them together. When one of the next inputs takes an hour, those
before it must not wait for it: no thread of ours is there to send them, so the worker takes them from the shelf. The
same after a container's death: what it had finished is not run again. A result may so arrive twice; the worker knows.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence, Sized
from mmap import mmap

from .container import CELL_SIZE, SHELF_AT

Row = tuple[int, int, int, int, bytes]  # index, attempt, code, micros, payload

_used = struct.Struct("<I")
_row = struct.Struct("<5I")
_FIRST = SHELF_AT + _used.size


class Shelf:
    """The container's side."""

    def __init__(self, cell: mmap) -> None:
        self._cell = cell
        self._end = _FIRST

    def put(self, row: tuple[int, int, int, int, bytes | Sized]) -> None:
        """Lays a result on the shelf; one that has no room there, or is in a file, is not seen before it is sent."""
        index, attempt, code, micros, payload = row
        at = self._end + _row.size
        end = at + len(payload)
        if end > CELL_SIZE or not isinstance(payload, bytes):
            return
        _row.pack_into(self._cell, self._end, index, attempt, code, micros, len(payload))
        self._cell[at:end] = payload
        self._end = end
        _used.pack_into(self._cell, SHELF_AT, end)

    def clear(self) -> None:
        """All of it was sent."""
        if self._end != _FIRST:
            self._end = _FIRST
            _used.pack_into(self._cell, SHELF_AT, _FIRST)


def on_shelf(cell: mmap | bytes) -> Sequence[Row]:
    """The worker's side: the results that lie there. What user code may have written there instead is no result."""
    (end,) = _used.unpack_from(cell, SHELF_AT)
    rows: list[Row] = []
    at = _FIRST
    while at + _row.size <= min(end, CELL_SIZE):
        index, attempt, code, micros, size = _row.unpack_from(cell, at)
        at += _row.size
        if at + size > min(end, CELL_SIZE):
            break
        rows.append((index, attempt, code, micros, bytes(cell[at : at + size])))
        at += size
    return rows
