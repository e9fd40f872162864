"""What containers used."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import delete, func, insert, select

from ionian.protocol.apps import AppUsage
from ionian.protocol.workers import Usage

from .database import Database
from .schema import ContainerUsage

AT_ONCE = 500
"""Rows of one statement: a database takes a limited number of values."""


@dataclass
class Used:
    """What one container used, and whose it was."""

    container_id: str
    usage: Usage
    environment: str
    app_id: str
    function_id: str
    worker_id: str


@dataclass(slots=True)
class Ended:
    """A container that has ended, and what it used."""

    function_id: str
    wall_s: float
    cpu_s: float
    memory_gib_s: float
    ended_at: float = 0.0


class UsageRows:
    """One row a container."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def record(
        self,
        container_id: str,
        usage: Usage,
        *,
        environment: str,
        app_id: str,
        function_id: str,
        worker_id: str,
    ) -> None:
        """Keeps what a container used. A container that is reported twice counts once, with the last report."""
        self.record_all([Used(container_id, usage, environment, app_id, function_id, worker_id)])

    def record_all(self, used: Sequence[Used]) -> None:
        """The same, of many in one transaction."""
        last = list({one.container_id: _row(one) for one in used}.values())
        with self._database.transaction(writes=True) as connection:
            for at in range(0, len(last), AT_ONCE):
                rows = last[at : at + AT_ONCE]
                ids = [row["container_id"] for row in rows]
                connection.execute(delete(ContainerUsage).where(ContainerUsage.container_id.in_(ids)))
                connection.execute(insert(ContainerUsage), rows)

    def app_of_container(self, container_id: str) -> str:
        """The app of a container that has ended, or ""."""
        with self._database.read() as session:
            row = session.get(ContainerUsage, container_id)
            return row.app_id if row is not None else ""

    def ended(self, container_id: str) -> Ended | None:
        """A container that has ended."""
        with self._database.read() as session:
            row = session.get(ContainerUsage, container_id)
            if row is None:
                return None
            return Ended(row.function_id, row.wall_s, row.cpu_s, row.memory_gib_s, row.ended_at)

    def there(self, since: float, until: float, *, app_id: str) -> list[Ended]:
        """The containers of an app that have ended and were there at some moment between two times."""
        table = ContainerUsage
        query = select(table.function_id, table.wall_s, table.cpu_s, table.memory_gib_s).where(
            table.app_id == app_id, table.ended_at >= since, table.ended_at - table.wall_s < until
        )
        with self._database.read() as session:
            return [Ended(*row) for row in session.execute(query)]

    def of_app(self, app_id: str) -> AppUsage:
        """The sum over the containers of an app."""
        query = select(
            func.count(),
            func.coalesce(func.sum(ContainerUsage.wall_s), 0.0),
            func.coalesce(func.sum(ContainerUsage.cpu_s), 0.0),
            func.coalesce(func.sum(ContainerUsage.memory_gib_s), 0.0),
            func.coalesce(func.sum(ContainerUsage.gpu_s), 0.0),
        ).where(ContainerUsage.app_id == app_id)
        with self._database.read() as session:
            containers, wall, cpu, memory, gpu = session.execute(query).one()
        return AppUsage(app_id, wall, cpu, memory, gpu, containers)


def _row(used: Used) -> dict[str, Any]:
    usage = used.usage
    return {
        "container_id": used.container_id,
        "environment": used.environment,
        "app_id": used.app_id,
        "function_id": used.function_id,
        "worker_id": used.worker_id,
        "ended_at": time.time(),
        "wall_s": usage.wall_s,
        "cpu_s": usage.cpu_s,
        "memory_gib_s": usage.memory_gib_s,
        "gpu_s": usage.gpu_s,
    }
