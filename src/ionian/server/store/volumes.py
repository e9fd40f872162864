"""Volumes by name."""

from __future__ import annotations

import time

from sqlalchemy import Select, select

from ionian.protocol.ids import new_id

from .database import Database, once_more
from .schema import Volume


class Volumes:
    """The volumes."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, environment: str, name: str) -> Volume | None:
        """A volume by its name."""
        with self._database.read() as session:
            return session.scalar(_named(environment, name))

    @once_more
    def find_or_create(self, environment: str, name: str) -> Volume:
        """A volume by its name, made where it is missing."""
        with self._database.write() as session:
            volume = session.scalar(_named(environment, name))
            if volume is None:
                volume = Volume(new_id("vo"), environment, name, time.time())
                session.add(volume)
            return volume

    def ids_of(self, environment: str) -> list[str]:
        """The ids of the volumes of an environment."""
        with self._database.read() as session:
            return list(session.scalars(select(Volume.volume_id).where(Volume.environment == environment)))

    def missing(self, environment: str, volume_ids: set[str]) -> set[str]:
        """Which of these ids are no volumes of the environment."""
        query = select(Volume.volume_id).where(
            Volume.environment == environment, Volume.volume_id.in_(volume_ids)
        )
        with self._database.read() as session:
            return volume_ids - set(session.scalars(query))


def _named(environment: str, name: str) -> Select[Volume]:
    return select(Volume).where(Volume.environment == environment, Volume.name == name)
