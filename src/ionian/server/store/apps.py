"""Apps: made, running, stopped."""

from __future__ import annotations

import time

from sqlalchemy import delete, select

from .database import Database, once_more
from .schema import App, BlobGrant, Secret

LIVE = ("initializing", "ephemeral", "detached")
"""The states of an app that is not over."""


class Apps:
    """The apps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @once_more
    def create(self, app_id: str, *, environment: str, name: str, detach: bool, client: str) -> App:
        """The app of this id, made where it is missing: a client may ask again after a lost connection."""
        with self._database.write() as session:
            app = session.get(App, app_id)
            if app is None:
                app = App(app_id, environment, name, detach, client, "initializing", time.time())
                session.add(app)
            return app

    def find(self, app_id: str) -> App | None:
        """An app by its id."""
        with self._database.read() as session:
            return session.get(App, app_id)

    def live(self) -> list[App]:
        """Every app that is not stopped, oldest first."""
        with self._database.read() as session:
            return list(session.scalars(select(App).where(App.state.in_(LIVE)).order_by(App.app_id)))

    def live_of(self, client: str) -> list[App]:
        """The apps of a client that end with its session: those that are neither stopped nor detached."""
        query = select(App).where(App.client == client, App.state.in_(LIVE), App.state != "detached")
        with self._database.read() as session:
            return list(session.scalars(query.order_by(App.app_id)))

    def live_named(self, environment: str, name: str) -> list[App]:
        """The apps of a name that are not stopped, newest first: several people may run one at a time."""
        query = select(App).where(App.environment == environment, App.name == name, App.state.in_(LIVE))
        with self._database.read() as session:
            return list(session.scalars(query.order_by(App.created_at.desc(), App.app_id.desc())))

    def stop(self, app_id: str, reason: str) -> bool:
        """Marks an app stopped; whether it was not so already."""
        with self._database.write() as session:
            app = session.get(App, app_id)
            if app is None or app.state == "stopped":
                return False
            app.state, app.reason, app.stopped_at = "stopped", reason, time.time()
            return True

    def purge(self, app_id: str) -> None:
        """Drops what a stopped app needs no more: its secrets and its right to blobs."""
        with self._database.write() as session:
            session.execute(delete(Secret).where(Secret.app_id == app_id))
            session.execute(delete(BlobGrant).where(BlobGrant.app_id == app_id))

    def purge_stopped(self) -> None:
        """Does the same for every stopped app: a server that was killed may have left something."""
        stopped = select(App.app_id).where(App.state == "stopped")
        with self._database.read() as session:
            left = session.scalars(select(Secret.app_id).where(Secret.app_id.in_(stopped)).distinct()).all()
            more = session.scalars(
                select(BlobGrant.app_id).where(BlobGrant.app_id.in_(stopped)).distinct()
            ).all()
        for app_id in {*left, *more}:
            self.purge(app_id)
