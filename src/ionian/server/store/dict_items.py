"""The entries of dicts, for a group of operations: read together, changed in memory, written together."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from ionian.protocol.items import LATER, MISSING, OK, TAKEN, Value

from .cells import SMALL, Cell, Result, Room
from .many import execute_many
from .rows import marks, read
from .schema import DictItem

CHUNK = 500
"""Keys in one statement."""

KEEP_S = 7 * 24 * 3600.0
"""An entry is kept for so long after its last use."""

TOUCH_S = 3600.0
"""A use within so long after the last one is not written down."""

Key = tuple[str, bytes]  # object id, digest of the key


@dataclass(slots=True)
class _Entry:
    cell: Cell | None  # None: there is none
    stored: bool = False  # the store has a row
    key: bytes | None = None  # to be written: it was put
    used_at: float = 0.0


class DictState:
    """What a group of operations finds and leaves in dicts."""

    def __init__(self, connection: Connection, now: float, counts: dict[str, int]) -> None:
        self._connection = connection
        self._now = now
        self._entries: dict[Key, _Entry] = {}
        self._counts = counts  # of dicts whose size was asked for
        self.touched: set[Key] = set()
        self._wanted: list[Cell] = []  # whose values are still to be read

    def load(self, object_id: str, digests: Collection[bytes]) -> None:
        """Reads which of these keys are there."""
        wanted = [digest for digest in digests if (object_id, digest) not in self._entries]
        for at in range(0, len(wanted), CHUNK):
            part = wanted[at : at + CHUNK]
            for digest in part:
                self._entries[object_id, digest] = _Entry(None)
            sql = f"{_READ} AND digest IN ({marks(len(part))})"
            for digest, data, size, blob, used_at in read(self._connection, sql, object_id, *part):
                there = used_at > self._now - KEEP_S
                cell = Cell((object_id, digest), size, bool(blob), data) if there else None
                self._entries[object_id, digest] = _Entry(cell, True, None, used_at)

    def _entry(self, object_id: str, digest: bytes) -> _Entry:
        if (object_id, digest) not in self._entries:
            self.load(object_id, [digest])
        return self._entries[object_id, digest]

    # --- operations

    def get(self, object_id: str, digest: bytes, room: Room) -> Result:
        """The value of a key."""
        entry = self._entry(object_id, digest)
        if entry.cell is None:
            return Result(MISSING)
        if not room.take(entry.cell.size):
            return Result(LATER)
        self._touch(object_id, digest, entry)
        return self._got(entry.cell)

    def has(self, object_id: str, digest: bytes) -> Result:
        """Whether a key is there."""
        entry = self._entry(object_id, digest)
        if entry.cell is None:
            return Result(MISSING)
        self._touch(object_id, digest, entry)
        return Result(OK)

    def _got(self, cell: Cell) -> Result:
        if cell.data is None:
            self._wanted.append(cell)
        return Result(OK, 0, [cell])

    def _touch(self, object_id: str, digest: bytes, entry: _Entry) -> None:
        if entry.used_at < self._now - TOUCH_S:
            entry.used_at = self._now
            if entry.key is None:
                self.touched.add((object_id, digest))

    def put(self, object_id: str, digest: bytes, key: bytes, value: Value, *, only_new: bool) -> Result:
        """Keeps a value."""
        entry = self._entry(object_id, digest)
        if entry.cell is None:
            self._count(object_id, 1)
        elif only_new:
            self._touch(object_id, digest, entry)
            return Result(TAKEN)
        entry.cell = Cell((object_id, digest), len(value.data), value.blob, value.data)
        entry.key, entry.used_at = key, self._now
        return Result(OK)

    def pop(self, object_id: str, digest: bytes, room: Room) -> Result:
        """Takes a key out."""
        entry = self._entry(object_id, digest)
        if entry.cell is None:
            return Result(MISSING)
        if not room.take(entry.cell.size):
            return Result(LATER)
        result = self._got(entry.cell)
        entry.cell, entry.key = None, b""
        self._count(object_id, -1)
        return result

    def _count(self, object_id: str, change: int) -> None:
        if object_id in self._counts:
            self._counts[object_id] += change

    def size(self, object_id: str) -> Result:
        """How many entries there are."""
        if object_id not in self._counts:
            self.flush()
            query = select(func.count()).where(
                DictItem.object_id == object_id, DictItem.used_at > self._now - KEEP_S
            )
            self._counts[object_id] = int(self._connection.scalar(query) or 0)
        return Result(OK, self._counts[object_id])

    def clear(self, object_id: str) -> Result:
        """Takes all out."""
        self.flush()
        self._connection.execute(delete(DictItem).where(DictItem.object_id == object_id))
        self._counts[object_id] = 0
        return Result(OK)

    # --- the store

    def _fill(self) -> None:
        """Reads the values that somebody gets."""
        by_object: dict[str, dict[bytes, Cell]] = {}
        for cell in self._wanted:
            object_id, digest = cell.place
            by_object.setdefault(object_id, {})[digest] = cell
        self._wanted.clear()
        for object_id, wanted in by_object.items():
            digests = list(wanted)
            for at in range(0, len(digests), CHUNK):
                part = digests[at : at + CHUNK]
                sql = f"{_VALUES} AND digest IN ({marks(len(part))})"
                for digest, data in read(self._connection, sql, object_id, *part):
                    wanted[digest].data = data

    def flush(self) -> None:
        """Reads the values that somebody gets, and writes what was changed; what follows is read anew."""
        self._fill()
        changed = [(key, entry) for key, entry in self._entries.items() if entry.key is not None]
        if gone := [_row(key) for key, entry in changed if entry.stored]:
            execute_many(self._connection, _DELETE, gone)
        rows: list[dict[str, Any]] = []
        for (object_id, digest), entry in changed:
            if entry.cell is not None:
                rows.append(
                    {
                        "object_id": object_id,
                        "digest": digest,
                        "key": entry.key,
                        "value": entry.cell.data,
                        "is_blob": entry.cell.blob,
                        "used_at": entry.used_at,
                    }
                )
        if rows:
            execute_many(self._connection, _INSERT, rows)
        self._entries.clear()

    def touch(self) -> None:
        """Writes down what was used and not changed."""
        rows = [{**_row(key), "b_now": self._now} for key in self.touched]
        if rows:
            execute_many(self._connection, _TOUCH, rows)


def _row(key: Key) -> dict[str, Any]:
    return {"b_object": key[0], "b_digest": key[1]}


_READ = (
    f"SELECT digest, CASE WHEN length(value) <= {SMALL} THEN value END, length(value), is_blob, used_at "
    "FROM dict_items WHERE object_id = ?"
)
_VALUES = "SELECT digest, value FROM dict_items WHERE object_id = ?"
_ONE = (DictItem.object_id == bindparam("b_object"), DictItem.digest == bindparam("b_digest"))
_INSERT = insert(DictItem)
_DELETE = delete(DictItem).where(*_ONE)
_TOUCH = update(DictItem).where(*_ONE).values(used_at=bindparam("b_now"))
