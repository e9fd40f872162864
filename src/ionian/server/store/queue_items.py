"""The partitions of queues, for a group of operations: read together, changed in memory, written together.

Positions are microseconds since 1970, or one more than the last: so they only grow, also over a partition that was empty.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update

from ionian.protocol.items import FULL, ITEMS_MAX, LATER, MISSING, OK, Value

from .cells import SMALL, Cell, Result, Room
from .many import execute_many
from .rows import marks, read
from .schema import QueueItem, QueuePartition

CHUNK = 500
"""Positions, or partitions, in one statement."""

PARTITION_S = 24 * 3600.0
"""Items that are given back to a partition that is gone are kept there for so long."""

Key = tuple[str, bytes]  # object id, partition


@dataclass(slots=True)
class _Partition:
    count: int = 0
    last: int = 0
    expires_at: float = 0.0
    stored: bool = False  # the store has a row
    changed: bool = False
    stale: bool = False  # what the store has of it is expired
    all_read: bool = True
    read_to: int = 0
    head: deque[Cell] = field(default_factory=deque[Cell])  # of the store, read so far
    new: deque[Cell] = field(default_factory=deque[Cell])
    gone: list[int] = field(default_factory=list[int])  # positions of the store


class QueueState:
    """What a group of operations finds and leaves in queues."""

    def __init__(self, connection: Connection, now: float) -> None:
        self._connection = connection
        self._now = now
        self._partitions: dict[Key, _Partition] = {}
        self._wanted: list[Cell] = []  # whose values are still to be read

    def load(self, object_id: str, partitions: Collection[bytes]) -> None:
        """Reads what these partitions are."""
        wanted = [partition for partition in partitions if (object_id, partition) not in self._partitions]
        for at in range(0, len(wanted), CHUNK):
            part = wanted[at : at + CHUNK]
            for partition in part:
                self._partitions[object_id, partition] = _Partition()
            sql = f"{_PARTITION} AND partition IN ({marks(len(part))})"
            for partition, count, last, expires_at in read(self._connection, sql, object_id, *part):
                stale = expires_at <= self._now
                self._partitions[object_id, partition] = _Partition(
                    0 if stale else count, last, expires_at, True, stale=stale, all_read=stale
                )

    def _partition(self, key: Key) -> _Partition:
        if key not in self._partitions:
            self.load(key[0], [key[1]])
        return self._partitions[key]

    def read(self, key: Key, number: int) -> None:
        """Reads the first items, so many of them, without their values."""
        found = self._partition(key)
        lacking = number - len(found.head)
        if lacking <= 0 or found.all_read:
            return
        rows = read(self._connection, _FIRST, *key, found.read_to, lacking)
        found.head.extend(
            Cell((*key, position), size, bool(blob), data) for position, data, size, blob in rows
        )
        found.all_read = len(rows) < lacking
        if rows:
            found.read_to = rows[-1][0]

    # --- operations

    def push(self, key: Key, values: Sequence[Value], keep_s: float) -> Result:
        """Adds items at the end, all or none."""
        found = self._partition(key)
        if found.count + len(values) > ITEMS_MAX:
            return Result(FULL, found.count)
        for value in values:
            found.last = max(found.last + 1, int(self._now * 1e6))
            found.new.append(Cell((*key, found.last), len(value.data), value.blob, value.data))
        found.count += len(values)
        found.expires_at = self._now + keep_s
        found.changed = True
        return Result(OK, found.count)

    def take(self, key: Key, number: int, room: Room) -> Result:
        """Takes up to so many items from the front."""
        self.read(key, number)
        found = self._partition(key)
        taken: list[Cell] = []
        while len(taken) < number and (found.head or found.new):
            items = found.head or found.new
            if not room.take(items[0].size):
                break
            cell = items.popleft()
            if items is found.head:
                found.gone.append(cell.place[2])
                if cell.data is None:
                    self._wanted.append(cell)
            taken.append(cell)
        if not taken:
            return Result(LATER if found.head or found.new else MISSING)
        found.count -= len(taken)
        found.changed = True
        return Result(OK, found.count, taken)

    def length(self, key: Key) -> Result:
        """How many items a partition has."""
        return Result(OK, self._partition(key).count)

    def total(self, object_id: str) -> Result:
        """How many items all partitions have."""
        self.flush()
        query = select(func.coalesce(func.sum(QueuePartition.count), 0)).where(
            QueuePartition.object_id == object_id, QueuePartition.expires_at > self._now
        )
        return Result(OK, int(self._connection.scalar(query) or 0))

    def empty(self, object_id: str, partition: bytes | None) -> Result:
        """Deletes the items of a partition; None: of all."""
        self.flush()
        for table in (QueueItem, QueuePartition):
            statement = delete(table).where(table.object_id == object_id)
            if partition is not None:
                statement = statement.where(table.partition == partition)
            self._connection.execute(statement)
        return Result(OK)

    def give_back(self, key: Key, items: Sequence[tuple[int, Value]]) -> None:
        """Puts items to where they were."""
        self.flush()
        found = self._partition(key)
        if found.stale:
            return  # they would have gone with the others
        found.count += len(items)
        found.last = max(found.last, *(position for position, _ in items))
        found.expires_at = found.expires_at or self._now + PARTITION_S
        found.changed = True
        found.new.extend(
            Cell((*key, position), len(value.data), value.blob, value.data) for position, value in items
        )
        self.flush()

    # --- the store

    def _fill(self) -> None:
        """Reads the values that somebody gets."""
        by_partition: dict[Key, dict[int, Cell]] = {}
        for cell in self._wanted:
            object_id, partition, position = cell.place
            by_partition.setdefault((object_id, partition), {})[position] = cell
        self._wanted.clear()
        for key, wanted in by_partition.items():
            positions = list(wanted)
            for at in range(0, len(positions), CHUNK):
                part = positions[at : at + CHUNK]
                sql = f"{_ITEMS} AND position IN ({marks(len(part))})"
                for position, data in read(self._connection, sql, *key, *part):
                    wanted[position].data = data

    def flush(self) -> None:
        """Reads the values that somebody gets, and writes what was changed; what follows is read anew."""
        self._fill()
        rows: dict[str, list[dict[str, Any]]] = {"update": [], "insert": [], "delete": []}
        items: list[dict[str, Any]] = []
        gone: list[dict[str, Any]] = []
        for key, found in self._partitions.items():
            if not found.changed:
                continue
            if found.stale:
                self._connection.execute(delete(QueueItem).where(*_in_partition(key)))
            row = {
                "b_object": key[0],
                "b_partition": key[1],
                "b_count": found.count,
                "b_last": found.last,
                "b_expires": found.expires_at,
            }
            gone += [
                {"b_object": key[0], "b_partition": key[1], "b_position": position} for position in found.gone
            ]
            items += [_item(cell) for cell in found.new]
            if found.count:
                rows["update" if found.stored else "insert"].append(row)
            elif found.stored:
                rows["delete"].append({"b_object": key[0], "b_partition": key[1]})
        for statement, of_it in (
            (_DELETE_ITEM, gone),
            (_INSERT_ITEM, items),
            (_DELETE, rows["delete"]),
            (_UPDATE, rows["update"]),
            (_INSERT, rows["insert"]),
        ):
            if of_it:
                execute_many(self._connection, statement, of_it)
        self._partitions.clear()


def _in_partition(key: Key) -> tuple[Any, Any]:
    return QueueItem.object_id == key[0], QueueItem.partition == key[1]


def _item(cell: Cell) -> dict[str, Any]:
    object_id, partition, position = cell.place
    return {
        "object_id": object_id,
        "partition": partition,
        "position": position,
        "value": cell.data,
        "is_blob": cell.blob,
    }


_PARTITION = "SELECT partition, count, last, expires_at FROM queue_partitions WHERE object_id = ?"
_FIRST = (
    f"SELECT position, CASE WHEN length(value) <= {SMALL} THEN value END, length(value), is_blob "
    "FROM queue_items WHERE object_id = ? AND partition = ? AND position > ? ORDER BY position LIMIT ?"
)
_ITEMS = "SELECT position, value FROM queue_items WHERE object_id = ? AND partition = ?"
_ONE = (
    QueuePartition.object_id == bindparam("b_object"),
    QueuePartition.partition == bindparam("b_partition"),
)
_VALUES: dict[str, Any] = {
    "count": bindparam("b_count"),
    "last": bindparam("b_last"),
    "expires_at": bindparam("b_expires"),
}
_INSERT = insert(QueuePartition).values(
    object_id=bindparam("b_object"), partition=bindparam("b_partition"), **_VALUES
)
_UPDATE = update(QueuePartition).where(*_ONE).values(**_VALUES)
_DELETE = delete(QueuePartition).where(*_ONE)
_INSERT_ITEM = insert(QueueItem)
_DELETE_ITEM = delete(QueueItem).where(
    QueueItem.object_id == bindparam("b_object"),
    QueueItem.partition == bindparam("b_partition"),
    QueueItem.position == bindparam("b_position"),
)
