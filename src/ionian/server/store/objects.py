"""Objects by their names: dicts, queues. What is in them is in tables of their own."""

from __future__ import annotations

import time

from sqlalchemy import ColumnElement, delete, or_, select, update
from sqlalchemy.orm import Session

from .database import Database, once_more
from .schema import NamedObject, SecretValue


class Objects:
    """The objects that have a name, or had one.

    An object that is deleted, or ephemeral and not kept any more, is there for nobody from that moment on; its row goes
    when all that was in it is gone (`expired`, `forget`).
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, kind: str, environment: str, name: str) -> NamedObject | None:
        """An object by its name."""
        with self._database.read() as session:
            return find_named(session, kind, environment, name)

    def by_id(self, object_id: str) -> NamedObject | None:
        """An object by its id."""
        with self._database.read() as session:
            query = select(NamedObject).where(NamedObject.object_id == object_id, is_there(time.time()))
            return session.scalar(query)

    @once_more
    def create(
        self,
        object_id: str,
        *,
        kind: str,
        environment: str,
        name: str,
        created_by: str = "",
        isolated: bool = False,
    ) -> NamedObject:
        """An object of that name: this one, or the one that is there, which has another id."""
        with self._database.write() as session:
            found = find_named(session, kind, environment, name)
            if found is None:
                found = NamedObject(object_id, kind, environment, name, made_now(), created_by)
                found.isolated = int(isolated)
                session.add(found)
            return found

    @once_more
    def create_ephemeral(
        self, object_id: str, *, kind: str, environment: str, keep_s: float, created_by: str = ""
    ) -> NamedObject:
        """An object without a name."""
        with self._database.write() as session:
            found = session.get(NamedObject, object_id)
            if found is None:
                now = made_now()
                found = NamedObject(object_id, kind, environment, None, now, created_by, now + keep_s)
                session.add(found)
            return found

    def keep(self, object_id: str, keep_s: float) -> None:
        """An ephemeral object is kept so long from now on; one that is gone stays gone."""
        now = time.time()
        self._update(
            (NamedObject.object_id == object_id, NamedObject.kept_until > now), kept_until=now + keep_s
        )

    def keep_all(self, keep_s: float) -> None:
        """The same for all: a server that was down has not heard that they are needed."""
        self._update((NamedObject.kept_until > 0.0,), kept_until=time.time() + keep_s)

    def delete(self, object_id: str) -> None:
        """From now on the object is there for nobody, and its name is free. The values of a secret are gone at once."""
        with self._database.write() as session:
            session.execute(delete(SecretValue).where(SecretValue.object_id == object_id))
            gone = update(NamedObject).where(NamedObject.object_id == object_id)
            session.execute(gone.values(name=None, kept_until=0.0))

    @once_more
    def rename(self, object_id: str, name: str) -> bool:
        """Gives an object another name. False: it is taken."""
        with self._database.write() as session:
            found = session.get(NamedObject, object_id)
            if found is None:
                return True
            other = find_named(session, found.kind, found.environment, name)
            if other is None:
                found.name = name
            return other is None or other is found

    def _update(self, which: tuple[ColumnElement[bool], ...], **values: object) -> None:
        with self._database.write() as session:
            session.execute(update(NamedObject).where(*which).values(**values))

    def list(
        self, kind: str, environment: str, *, limit: int = 0, created_before: float = 0.0
    ) -> list[NamedObject]:
        """Those that have a name, newest first."""
        query = (
            select(NamedObject)
            .where(NamedObject.kind == kind, NamedObject.environment == environment)
            .where(NamedObject.name.is_not(None))
            .order_by(NamedObject.created_at.desc(), NamedObject.object_id.desc())
        )
        if created_before:
            query = query.where(NamedObject.created_at < created_before)
        if limit:
            query = query.limit(limit)
        with self._database.read() as session:
            return list(session.scalars(query))

    def ids_of(self, environment: str) -> list[str]:
        """All of an environment, also those that are there for nobody any more."""
        with self._database.read() as session:
            return list(
                session.scalars(select(NamedObject.object_id).where(NamedObject.environment == environment))
            )

    def expired(self, now: float) -> list[NamedObject]:
        """Those that are there for nobody any more, whose content is to be deleted."""
        with self._database.read() as session:
            return list(session.scalars(select(NamedObject).where(NamedObject.kept_until <= now)))

    def forget(self, object_id: str) -> None:
        """The content of an object is gone, and so is the object."""
        with self._database.write() as session:
            session.execute(delete(NamedObject).where(NamedObject.object_id == object_id))


def made_now() -> float:
    """To the microsecond: a program that has it as a datetime may ask for what was made before it."""
    return round(time.time(), 6)


def is_there(now: float) -> ColumnElement[bool]:
    """Of objects that nobody deleted, and that are kept if they are ephemeral."""
    return or_(NamedObject.kept_until.is_(None), NamedObject.kept_until > now)


def find_named(session: Session, kind: str, environment: str, name: str) -> NamedObject | None:
    """An object by its name, in a session of the caller's."""
    query = select(NamedObject).where(
        NamedObject.kind == kind, NamedObject.environment == environment, NamedObject.name == name
    )
    return session.scalar(query)
