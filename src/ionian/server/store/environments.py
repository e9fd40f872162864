"""Environments: the name spaces of apps, volumes and secrets."""

from __future__ import annotations

import re
import time

from sqlalchemy import Table, delete, func, select, update
from sqlalchemy.orm import Session

from ionian.protocol.ids import new_id

from .apps import LIVE
from .database import Database, once_more
from .schema import App, ContainerUsage, Environment, Row, Token, UsageDetail, UsageMonth, UsageSlot, Worker
from .usage_months import rename_environment

DEFAULT = "main"
"""The environment that is always there, and the one that is meant where nothing names another."""

KEPT = {row.__tablename__ for row in (ContainerUsage, UsageSlot, UsageMonth, UsageDetail, Token, Worker)}
"""What outlives its environment: accounts of what was used, tokens (revoked then), workers."""


class StillLive(Exception):
    """An app of the environment is not stopped."""


class NameTaken(Exception):
    """Another environment has this name, or web suffix."""


class Environments:
    """The environments."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @once_more
    def create(self, name: str) -> Environment:
        """The environment of this name, made where it is missing. Raises NameTaken while one of it is being deleted."""
        with self._database.write() as session:
            environment = session.get(Environment, name)
            if environment is None:
                suffix = "" if name == DEFAULT else _free_suffix(session, name)
                environment = Environment(name, time.time(), new_id("en"), suffix)
                session.add(environment)
            if environment.deleted_at is not None:
                raise NameTaken(name)
            return environment

    def find(self, name: str) -> Environment | None:
        """An environment by its name or id."""
        with self._database.read() as session:
            query = select(Environment).where(Environment.deleted_at.is_(None))
            by = Environment.environment_id if name.startswith("en-") else Environment.name
            return session.scalar(query.where(by == name))

    def exists(self, name: str) -> bool:
        """Whether there is such an environment."""
        return self.find(name) is not None

    def all(self) -> list[Environment]:
        """The environments by their names."""
        with self._database.read() as session:
            query = select(Environment).where(Environment.deleted_at.is_(None))
            return list(session.scalars(query.order_by(Environment.name)))

    def names(self) -> list[str]:
        """Their names, sorted."""
        return [environment.name for environment in self.all()]

    def live_apps(self) -> dict[str, int]:
        """How many apps run or are deployed, by environment."""
        query = select(App.environment, func.count()).where(App.state.in_(LIVE)).group_by(App.environment)
        with self._database.read() as session:
            return dict(session.execute(query).all())

    # --- changed

    def change(self, name: str, *, new_name: str, web_suffix: str | None) -> Environment | None:
        """Gives an environment another name (unless that is ""), another web suffix (unless None), or both.

        Raises NameTaken; StillLive where a name would change under apps that are not stopped.
        """
        with self._database.write() as session:
            environment = session.get(Environment, name)
            if environment is None or environment.deleted_at is not None:
                return None
            if web_suffix is not None and web_suffix != environment.web_suffix:
                if web_suffix in _suffixes(session):
                    raise NameTaken(web_suffix)
                environment.web_suffix = web_suffix
            if new_name and new_name != name:
                environment = _renamed(session, environment, new_name)
            return environment

    # --- deleted

    def begin_deletion(self, name: str) -> bool:
        """From now on nothing finds the environment; what it has is still there. Whether there was such a one."""
        with self._database.write() as session:
            environment = session.get(Environment, name)
            if environment is None:
                return False
            environment.deleted_at = environment.deleted_at or time.time()
            return True

    def being_deleted(self) -> list[str]:
        """The environments whose deletion began and has not come to its end."""
        query = select(Environment.name).where(Environment.deleted_at.is_not(None))
        with self._database.read() as session:
            return list(session.scalars(query))

    def end_deletion(self, name: str) -> None:
        """Forgets an environment and all that it has, at once. Raises StillLive where an app is not stopped."""
        with self._database.write() as session:
            _refuse_live(session, name)
            session.execute(
                update(Token)
                .where(Token.environment == name, Token.revoked_at.is_(None))
                .values(revoked_at=time.time())
            )
            for table in _of_environments():
                if table.name not in KEPT:
                    session.execute(table.delete().where(table.c.environment == name))
            session.execute(delete(Environment).where(Environment.name == name))


def _of_environments() -> list[Table]:
    """The tables whose rows belong to an environment; those that others refer to come last."""
    return [table for table in reversed(Row.metadata.sorted_tables) if "environment" in table.c]


def _refuse_live(session: Session, name: str) -> None:
    live = select(App.name).where(App.environment == name, App.state.in_(LIVE)).limit(1)
    if app := session.scalar(live):
        raise StillLive(app)


def _renamed(session: Session, environment: Environment, name: str) -> Environment:
    _refuse_live(session, environment.name)
    if session.get(Environment, name) is not None:
        raise NameTaken(name)
    renamed = Environment(name, environment.created_at, environment.environment_id, environment.web_suffix)
    session.add(renamed)
    session.flush()  # rows refer to it next
    rename_environment(session.connection(), environment.name, name)
    for table in _of_environments():
        of_it = table.c.environment == environment.name
        session.execute(table.update().where(of_it).values(environment=name))
    session.delete(environment)
    return renamed


def _suffixes(session: Session) -> set[str]:
    return set(session.scalars(select(Environment.web_suffix)))


def _free_suffix(session: Session, name: str) -> str:
    """The part of web addresses that tells this environment from others: its name, as far as a host name holds it."""
    wanted = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")[:24] or "env"
    taken, suffix, number = _suffixes(session), wanted, 2
    while suffix in taken:
        suffix, number = f"{wanted}-{number}", number + 1
    return suffix
