"""Environments: the name spaces of apps, volumes and secrets."""

from __future__ import annotations

import time

from sqlalchemy import select

from .database import Database, once_more
from .schema import Environment


class Environments:
    """The environments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @once_more
    def create(self, name: str) -> None:
        """Makes an environment, unless it is there."""
        if self.exists(name):
            return
        with self._database.write() as session:
            if session.get(Environment, name) is None:
                session.add(Environment(name, time.time()))

    def exists(self, name: str) -> bool:
        """Whether there is such an environment."""
        with self._database.read() as session:
            return session.get(Environment, name) is not None

    def names(self) -> list[str]:
        """Their names, sorted."""
        with self._database.read() as session:
            return list(session.scalars(select(Environment.name).order_by(Environment.name)))
