"""Which blobs the containers of an app may read: what its definition names, what it was sent and what it wrote."""

from __future__ import annotations

import time
from collections.abc import Iterable

from sqlalchemy import select
from sqlalchemy.orm import Session

from .database import Database
from .schema import BlobGrant

CHUNK = 500
"""Digests asked for in one statement: a database takes a limited number of parameters."""


class BlobGrants:
    """The grants. Kept in the store because a container that outlives a restart of the server reads on."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def allow(self, app_id: str, environment: str, digests: Iterable[str]) -> None:
        """Lets the app's containers read these blobs."""
        wanted = set(digests)
        if wanted <= self.allowed(app_id, wanted):
            return
        with self._database.write() as session:
            grant(session, app_id, environment, wanted)

    def allowed(self, app_id: str, digests: Iterable[str]) -> set[str]:
        """Those of these blobs that the app's containers may read."""
        with self._database.read() as session:
            return _allowed(session, app_id, set(digests))

    def all_digests(self) -> set[str]:
        """Every blob that some app may read: these are not garbage."""
        with self._database.read() as session:
            return set(session.scalars(select(BlobGrant.digest).distinct()))


def grant(session: Session, app_id: str, environment: str, digests: set[str]) -> None:
    """Adds the grants that are missing."""
    missing = digests - _allowed(session, app_id, digests)
    session.add_all(BlobGrant(app_id, digest, environment, time.time()) for digest in sorted(missing))


def _allowed(session: Session, app_id: str, digests: set[str]) -> set[str]:
    asked, found = sorted(digests), set[str]()
    for at in range(0, len(asked), CHUNK):
        part = BlobGrant.digest.in_(asked[at : at + CHUNK])
        found.update(session.scalars(select(BlobGrant.digest).where(BlobGrant.app_id == app_id, part)))
    return found
