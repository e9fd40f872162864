"""Entries of dicts and items of queues that go: with their object, or because nobody used them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import delete, select, tuple_
from sqlalchemy.orm import Session

from .database import Database
from .dict_items import CHUNK, KEEP_S
from .schema import DictItem, QueueItem, QueuePartition


class OldItems:
    """What is to be deleted, and what must not."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def delete_content(self, object_id: str, limit: int) -> bool:
        """Deletes up to so many rows of an object; whether there may be more."""
        entries = select(DictItem.object_id, DictItem.digest).where(DictItem.object_id == object_id)
        items = select(QueueItem.object_id, QueueItem.partition, QueueItem.position).where(
            QueueItem.object_id == object_id
        )
        with self._database.write() as session:
            gone = _delete_entries(session, entries.limit(limit))
            gone += _delete_items(session, items.limit(limit))
            if not gone:
                session.execute(delete(QueuePartition).where(QueuePartition.object_id == object_id))
        return gone > 0

    def delete_entries(self, now: float, limit: int) -> bool:
        """Deletes up to so many entries of dicts that were not used for too long; whether there may be more."""
        old = select(DictItem.object_id, DictItem.digest).where(DictItem.used_at <= now - KEEP_S)
        if not self._any(old.limit(1)):
            return False
        with self._database.write() as session:
            return _delete_entries(session, old.limit(limit)) == limit

    def delete_partitions(self, now: float, limit: int) -> bool:
        """Deletes up to so many items of partitions that have expired; whether there may be more."""
        old = select(QueuePartition.object_id, QueuePartition.partition).where(
            QueuePartition.expires_at <= now
        )
        if not self._any(old.limit(1)):
            return False
        with self._database.write() as session:
            found = session.execute(old.limit(1)).first()
            if found is None:
                return False
            items = select(QueueItem.object_id, QueueItem.partition, QueueItem.position).where(
                QueueItem.object_id == found[0], QueueItem.partition == found[1]
            )
            if not _delete_items(session, items.limit(limit)):
                session.execute(
                    delete(QueuePartition).where(
                        QueuePartition.object_id == found[0], QueuePartition.partition == found[1]
                    )
                )
        return True

    def blobs(self) -> set[str]:
        """The blobs that values stand for: these are not garbage."""
        found: set[str] = set()
        with self._database.read() as session:
            for table in (DictItem, QueueItem):
                for value in session.scalars(select(table.value).where(table.is_blob.is_(True))):
                    found.add(value.decode().split()[0])
        return found

    def _any(self, query: Any) -> bool:
        with self._database.read() as session:
            return session.execute(query).first() is not None


def _delete_entries(session: Session, query: Any) -> int:
    return _delete(session, DictItem, tuple_(DictItem.object_id, DictItem.digest), query)


def _delete_items(session: Session, query: Any) -> int:
    key = tuple_(QueueItem.object_id, QueueItem.partition, QueueItem.position)
    return _delete(session, QueueItem, key, query)


def _delete(session: Session, table: Any, key: Any, query: Any) -> int:
    rows: list[Any] = [tuple(row) for row in session.execute(query)]
    for at in range(0, len(rows), CHUNK):
        session.execute(delete(table).where(key.in_(rows[at : at + CHUNK])))
    return len(rows)
