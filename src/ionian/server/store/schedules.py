"""Functions that run by themselves: when each is due."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import msgspec
from sqlalchemy import Select, delete, select

from ionian.protocol.spec import Schedule

from .database import Database, once_more
from .schema import App, Function, Scheduled

_DEPLOYED = (
    select(Scheduled, App.name, Function.tag)
    .join(App, App.app_id == Scheduled.app_id)
    .join(Function, Function.function_id == Scheduled.function_id)
    .where(App.state == "deployed")
    .order_by(Scheduled.next_at, Scheduled.function_id)
)
"""The schedules of deployed apps with the names of the app and the function, the next one first."""


@dataclass(frozen=True, slots=True)
class Due:
    """A function whose time has come."""

    function_id: str
    app_id: str
    tag: str
    schedule: Schedule
    at: float


@dataclass(frozen=True, slots=True)
class Planned:
    """A function that runs by itself: when it will, and when it last did."""

    function_id: str
    app_id: str
    app_name: str
    tag: str
    schedule: Schedule
    next_at: float
    last_at: float | None


class Schedules:
    """One row a function of a deployed app that has a schedule."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @once_more
    def keep(
        self, app_id: str, schedules: Mapping[str, Schedule], first: Callable[[Schedule], float]
    ) -> None:
        """These are the schedules of an app, by function. One that is unchanged stays due when it was: deploying
        again does not put off what runs every hour. `first` says when a new one is due."""
        with self._database.write() as session:
            rows = {row.function_id: row for row in session.scalars(_of(app_id))}
            for function_id in rows.keys() - schedules.keys():
                session.delete(rows[function_id])
            for function_id, schedule in schedules.items():
                text = msgspec.json.encode(schedule).decode()
                row = rows.get(function_id)
                if row is None:
                    session.add(Scheduled(function_id, app_id, text, first(schedule)))
                elif row.schedule != text:
                    row.schedule, row.next_at = text, first(schedule)

    def drop(self, app_id: str) -> None:
        """The app has ended."""
        with self._database.write() as session:
            session.execute(delete(Scheduled).where(Scheduled.app_id == app_id))

    def due(self, now: float) -> list[Due]:
        """What is due at a time, the oldest first; of deployed apps alone."""
        with self._database.read() as session:
            rows = session.execute(_DEPLOYED.where(Scheduled.next_at <= now)).all()
        return [
            Due(
                row.function_id,
                row.app_id,
                tag,
                msgspec.json.decode(row.schedule, type=Schedule),
                row.next_at,
            )
            for row, _, tag in rows
        ]

    def of_environment(self, environment: str) -> list[Planned]:
        """What runs by itself in an environment, the next one first."""
        with self._database.read() as session:
            rows = session.execute(_DEPLOYED.where(App.environment == environment)).all()
        return [
            Planned(
                row.function_id,
                row.app_id,
                name,
                tag,
                msgspec.json.decode(row.schedule, type=Schedule),
                row.next_at,
                row.last_at,
            )
            for row, name, tag in rows
        ]

    def ran(self, function_id: str, at: float, next_at: float) -> None:
        """What was due at a time has been begun. Nothing where it was changed meanwhile."""
        with self._database.write() as session:
            row = session.get(Scheduled, function_id)
            if row is not None and row.next_at == at:
                row.last_at, row.next_at = at, next_at

    def next_at(self) -> float | None:
        """When the next one of all is due."""
        query = (
            select(Scheduled.next_at)
            .join(App, App.app_id == Scheduled.app_id)
            .where(App.state == "deployed")
            .order_by(Scheduled.next_at)
            .limit(1)
        )
        with self._database.read() as session:
            return session.scalar(query)

    def next_of(self, app_ids: list[str]) -> dict[str, float]:
        """When the next one of each of these apps is due; apps without a schedule are left out."""
        query = select(Scheduled.app_id, Scheduled.next_at).where(Scheduled.app_id.in_(app_ids))
        found: dict[str, float] = {}
        with self._database.read() as session:
            for app_id, next_at in session.execute(query):
                found[app_id] = min(next_at, found.get(app_id, next_at))
        return found

    def next_by_function(self, app_id: str) -> dict[str, float]:
        """When each function of an app that has a schedule is due."""
        with self._database.read() as session:
            return {row.function_id: row.next_at for row in session.scalars(_of(app_id))}


def _of(app_id: str) -> Select[Scheduled]:
    return select(Scheduled).where(Scheduled.app_id == app_id)
