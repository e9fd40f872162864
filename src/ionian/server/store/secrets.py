"""Sealed secrets. This module sees no plain value; `server/secrets.py` seals and opens them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from .database import Database, once_more
from .objects import find_named, made_now
from .schema import Environment, NamedObject, SealedKey, Secret, SecretValue

KIND = "secret"

CHUNK = 200
"""Keys that are wrapped anew in one transaction: others want to write, too."""

R = TypeVar("R", Secret, SecretValue)


@dataclass(frozen=True, slots=True)
class Wrapped(Generic[R]):
    """A row with a wrapped key, and what its seals are bound to beside the key's id."""

    row: R
    bound_to: str


AnyWrapped = Wrapped[Secret] | Wrapped[SecretValue]
Seal = Callable[[Wrapped[SecretValue] | None, str], SecretValue | None]


class SecretRows:
    """The sealed secrets: of apps, and with names."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- of apps

    @once_more
    def put(self, secret: Secret) -> None:
        """Keeps a secret, unless the app has it already."""
        with self._database.write() as session:
            if session.get(Secret, (secret.app_id, secret.secret_id)) is None:
                session.add(secret)

    def replace(self, secret: Secret) -> None:
        """Keeps a secret that was sealed anew."""
        with self._database.write() as session:
            session.merge(secret)

    def find(self, app_id: str, secret_ids: list[str]) -> dict[str, Secret]:
        """Those of these secrets that the app has."""
        query = select(Secret).where(Secret.app_id == app_id, Secret.secret_id.in_(secret_ids))
        with self._database.read() as session:
            return {secret.secret_id: secret for secret in session.scalars(query)}

    def count(self) -> int:
        """How many there are."""
        with self._database.read() as session:
            return session.scalar(select(func.count()).select_from(Secret)) or 0

    # --- with names

    def named(self, secret_ids: Sequence[str]) -> dict[str, Wrapped[SecretValue]]:
        """Those of these secrets that are there."""
        if not secret_ids:
            return {}
        with self._database.read() as session:
            return {found.row.object_id: found for found in _named(session, secret_ids)}

    def environments(self, secret_ids: Sequence[str]) -> dict[str, str]:
        """The environments of those of these secrets that have a name."""
        query = select(NamedObject.object_id, NamedObject.environment).join(
            SecretValue, SecretValue.object_id == NamedObject.object_id
        )
        query = query.where(NamedObject.object_id.in_(secret_ids))
        with self._database.read() as session:
            return dict(session.execute(query).all())

    @once_more
    def put_named(
        self, secret_id: str, environment: str, name: str, created_by: str, seal: Seal
    ) -> NamedObject:
        """Makes or changes the secret of a name, at once with its values. What `seal` raises leaves all as it was; None
        of it leaves the values as they were."""
        with self._database.write() as session:
            found = find_named(session, KIND, environment, name)
            fresh = found is None
            if found is None:
                found = NamedObject(secret_id, KIND, environment, name, made_now(), created_by)
                session.add(found)
                session.flush()
            values = next(iter(_named(session, [found.object_id])), None)
            sealed = seal(values, _bound_to(session, found))
            assert sealed is not None or not fresh
            if sealed is not None:
                session.merge(sealed)
            return found

    def listed(self, environment: str) -> list[tuple[NamedObject, SecretValue]]:
        """The secrets of an environment that have a name, newest first."""
        query = select(NamedObject, SecretValue).join(
            SecretValue, SecretValue.object_id == NamedObject.object_id
        )
        query = query.where(NamedObject.kind == KIND, NamedObject.environment == environment)
        query = query.order_by(NamedObject.created_at.desc(), NamedObject.object_id.desc())
        with self._database.read() as session:
            return [(found, value) for found, value in session.execute(query)]

    def used(self, secret_ids: Sequence[str], at: float) -> None:
        """They were given to a container."""
        with self._database.write() as session:
            these = SecretValue.object_id.in_(secret_ids)
            session.execute(update(SecretValue).where(these).values(last_used_at=at))

    # --- keys

    def key(self, name: str) -> SealedKey | None:
        """A key of the server's own."""
        with self._database.read() as session:
            return session.get(SealedKey, name)

    @once_more
    def put_key(self, name: str, key_id: str, wrapped: bytes) -> None:
        """Keeps a key of the server's own."""
        with self._database.write() as session:
            session.merge(SealedKey(name, key_id, wrapped))

    def rewrap(self, key_ids: Sequence[str], wrap: Callable[[AnyWrapped], tuple[str, bytes] | None]) -> int:
        """Gives each row whose key is wrapped by one of these another id and wrapped key, as `wrap` says; returns for how
        many it said one."""
        with self._database.read() as session:
            own = session.execute(
                select(Secret.app_id, Secret.secret_id).where(Secret.key_id.in_(key_ids))
            ).all()
            named = session.scalars(
                select(SecretValue.object_id).where(SecretValue.key_id.in_(key_ids))
            ).all()
        done = 0
        for part in _parts([tuple(each) for each in own]):
            with self._database.write() as session:
                rows = [row for key in part if (row := session.get(Secret, key)) is not None]
                found = [Wrapped(row, f"{row.environment}\0{row.app_id}\0{row.secret_id}") for row in rows]
                done += _rewrap(found, wrap)
        for part in _parts(named):
            with self._database.write() as session:
                done += _rewrap(list(_named(session, part)), wrap)
        return done

    def sealed_otherwise(self, key_id: str) -> dict[str, int]:
        """How many secrets other master keys than this one wrap, by the ids of these."""
        found: Counter[str] = Counter()
        with self._database.read() as session:
            for table in (Secret, SecretValue):
                query = select(table.key_id, func.count()).where(table.key_id != key_id)
                found.update(dict(session.execute(query.group_by(table.key_id)).all()))
        return dict(found)


def _rewrap(found: Sequence[AnyWrapped], wrap: Callable[[AnyWrapped], tuple[str, bytes] | None]) -> int:
    done = 0
    for each in found:
        said = wrap(each)
        if said is not None:
            each.row.key_id, each.row.wrapped_key = said
            done += 1
    return done


def _named(session: Session, secret_ids: Sequence[str]) -> Iterator[Wrapped[SecretValue]]:
    query = select(SecretValue, NamedObject).join(NamedObject, NamedObject.object_id == SecretValue.object_id)
    for value, found in session.execute(query.where(SecretValue.object_id.in_(secret_ids))).all():
        yield Wrapped(value, _bound_to(session, found))


def _bound_to(session: Session, found: NamedObject) -> str:
    """An environment may get another name; its id stays."""
    query = select(Environment.environment_id).where(Environment.name == found.environment)
    return f"{session.scalar(query)}\0{found.name}\0{found.object_id}"


def _parts(items: Sequence[Any]) -> Iterator[Sequence[Any]]:
    for at in range(0, len(items), CHUNK):
        yield items[at : at + CHUNK]
