"""Workers that joined, so that a server knows after a restart whom to wait for."""

from __future__ import annotations

import time

from sqlalchemy import select

from .database import Database
from .schema import Worker


class Workers:
    """The workers."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def joined(self, worker_id: str, *, name: str, token_id: str, environment: str = "") -> None:
        """A worker is connected."""
        with self._database.write() as session:
            session.merge(Worker(worker_id, environment, name, token_id, True, time.time()))

    def gone(self, worker_id: str) -> None:
        """A worker left, or was given up: nobody waits for it any more."""
        with self._database.write() as session:
            worker = session.get(Worker, worker_id)
            if worker is not None:
                worker.alive, worker.last_seen = False, time.time()

    def alive(self) -> list[Worker]:
        """The workers that joined and were not given up."""
        with self._database.read() as session:
            return list(session.scalars(select(Worker).where(Worker.alive).order_by(Worker.worker_id)))
