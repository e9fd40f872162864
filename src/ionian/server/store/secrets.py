"""Sealed secrets. This module sees no plain value; `server/secrets.py` seals and opens them."""

from __future__ import annotations

from sqlalchemy import func, select

from .database import Database, once_more
from .schema import Secret


class SecretRows:
    """The sealed secrets of the apps."""

    def __init__(self, database: Database) -> None:
        self._database = database

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

    def sealed_otherwise(self, key_id: str) -> list[Secret]:
        """The secrets that another master key than this one wraps."""
        with self._database.read() as session:
            return list(session.scalars(select(Secret).where(Secret.key_id != key_id)))

    def count(self) -> int:
        """How many there are."""
        with self._database.read() as session:
            return session.scalar(select(func.count()).select_from(Secret)) or 0
