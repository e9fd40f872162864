"""Looks into dicts and queues, a page at a time, which change nothing."""

from __future__ import annotations

import time
from typing import NamedTuple

from sqlalchemy import func, select

from ionian.protocol.items import BYTES_MAX, Value

from .database import Database
from .dict_items import KEEP_S
from .schema import DictItem, QueueItem, QueuePartition

PAGE = 1000
"""Rows of a page, at most."""


class Page(NamedTuple):
    """Values, and where the next page begins."""

    values: list[Value]
    rows: int
    after: str
    more: bool


class QueueSize(NamedTuple):
    """How much is in a queue."""

    partitions: int
    items: int


class ItemReads:
    """What is in dicts and queues."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def entries(self, object_id: str, what: str, after: str) -> Page:
        """Entries of a dict: "keys", "values", or "items", which are keys and values in turn."""
        sizes = func.length(DictItem.key) + func.length(DictItem.value)
        query = (
            select(DictItem.digest, sizes)
            .where(DictItem.object_id == object_id, DictItem.used_at > time.time() - KEEP_S)
            .order_by(DictItem.digest)
            .limit(PAGE + 1)
        )
        if after:
            query = query.where(DictItem.digest > bytes.fromhex(after))
        with self._database.read() as session:
            found = [(digest, size) for digest, size in session.execute(query)]
            fit = _fitting([size for _, size in found])
            if not fit:
                return Page([], 0, after, False)
            columns = select(DictItem.key, DictItem.value, DictItem.is_blob)
            rows = session.execute(
                columns.where(
                    DictItem.object_id == object_id,
                    DictItem.digest >= found[0][0],
                    DictItem.digest <= found[fit - 1][0],
                ).order_by(DictItem.digest)
            )
            values: list[Value] = []
            count = 0
            for key, value, is_blob in rows:
                count += 1
                if what != "values":
                    values.append(Value(key))
                if what != "keys":
                    values.append(Value(value, is_blob))
        return Page(values, count, found[fit - 1][0].hex(), fit < len(found))

    def items(self, object_id: str, partition: bytes, after: int, limit: int) -> Page:
        """Items of a partition behind a position."""
        place = (QueueItem.object_id == object_id, QueueItem.partition == partition)
        row = (QueuePartition.object_id == object_id, QueuePartition.partition == partition)
        limit = min(limit, PAGE)
        with self._database.read() as session:
            expires_at = session.scalar(select(QueuePartition.expires_at).where(*row))
            if expires_at is None or expires_at <= time.time():
                return Page([], 0, str(after), False)
            query = (
                select(QueueItem.position, func.length(QueueItem.value))
                .where(*place, QueueItem.position > after)
                .order_by(QueueItem.position)
                .limit(limit + 1)
            )
            found = [(position, size) for position, size in session.execute(query)]
            fit = min(limit, _fitting([size for _, size in found]))
            if not fit:
                return Page([], 0, str(after), False)
            last = found[fit - 1][0]
            columns = select(QueueItem.value, QueueItem.is_blob)
            rows = session.execute(
                columns.where(*place, QueueItem.position >= found[0][0], QueueItem.position <= last).order_by(
                    QueueItem.position
                )
            )
            values = [Value(value, is_blob) for value, is_blob in rows]
        return Page(values, len(values), str(last), fit < len(found))

    def size(self, object_id: str) -> QueueSize:
        """How many partitions and items a queue has."""
        query = select(func.count(), func.coalesce(func.sum(QueuePartition.count), 0)).where(
            QueuePartition.object_id == object_id, QueuePartition.expires_at > time.time()
        )
        with self._database.read() as session:
            partitions, items = session.execute(query).one()
        return QueueSize(int(partitions), int(items))


def _fitting(sizes: list[int]) -> int:
    """How many of these rows make a page: at least one where there is any."""
    total = 0
    for place, size in enumerate(sizes[:PAGE]):
        total += size
        if total > BYTES_MAX and place:
            return place
    return min(len(sizes), PAGE)
