"""What containers used."""

from __future__ import annotations

import time

from sqlalchemy import func, select

from ionian.protocol.apps import AppUsage
from ionian.protocol.workers import Usage

from .database import Database
from .schema import ContainerUsage


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
        row = ContainerUsage(
            container_id,
            environment,
            app_id,
            function_id,
            worker_id,
            time.time(),
            usage.wall_s,
            usage.cpu_s,
            usage.memory_gib_s,
            usage.gpu_s,
        )
        with self._database.write() as session:
            session.merge(row)

    def app_of_container(self, container_id: str) -> str:
        """The app of a container that has ended, or ""."""
        with self._database.read() as session:
            row = session.get(ContainerUsage, container_id)
            return row.app_id if row is not None else ""

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
