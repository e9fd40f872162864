"""Volumes: objects with a name whose files lie elsewhere, under their ids."""

from __future__ import annotations

import time

from sqlalchemy import select

from .database import Database
from .objects import is_there
from .schema import NamedObject


class Volumes:
    """The volumes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def ids_of(self, environment: str) -> list[str]:
        """The ids of the volumes of an environment, also of those that are there for nobody any more."""
        query = select(NamedObject.object_id).where(
            NamedObject.kind == "volume", NamedObject.environment == environment
        )
        with self._database.read() as session:
            return list(session.scalars(query))

    def missing(self, environment: str, volume_ids: set[str]) -> set[str]:
        """Which of these ids are no volumes of the environment, or were deleted."""
        query = select(NamedObject.object_id).where(
            NamedObject.kind == "volume",
            NamedObject.environment == environment,
            NamedObject.object_id.in_(volume_ids),
            is_there(time.time()),
        )
        with self._database.read() as session:
            return volume_ids - set(session.scalars(query))
