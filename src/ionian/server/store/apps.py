"""Apps: made, running, stopped."""

from __future__ import annotations

import json
import time
from collections.abc import Collection

from sqlalchemy import Select, delete, or_, select
from sqlalchemy.orm import InstrumentedAttribute

from .database import Database, once_more
from .schema import App, BlobGrant, Secret, Variant, Version

LIVE = ("initializing", "ephemeral", "detached", "deployed")
"""The states of an app that is not over."""

DEPLOYER = "deploy"
"""The client of an app that is deployed, or about to be: it ends with nobody's session."""

UNFINISHED_S = 24 * 3600.0
"""So long a first deploy may take, with the image that it builds."""

STOPPED_KEPT_S = 24 * 3600.0
"""So long an app that was stopped is listed."""


AT_ONCE = 500
"""Values of one statement: a database takes a limited number."""


class Apps:
    """The apps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @once_more
    def create(
        self, app_id: str, *, environment: str, name: str, detach: bool, client: str, tags: str = "{}"
    ) -> App:
        """The app of this id, made where it is missing: a client may ask again after a lost connection."""
        with self._database.write() as session:
            app = session.get(App, app_id)
            if app is None:
                app = App(app_id, environment, name, detach, client, "initializing", time.time(), tags=tags)
                session.add(app)
            return app

    @once_more
    def deployed(self, app_id: str, *, environment: str, name: str, tags: str = "{}") -> App:
        """The deployed app of a name; made under this id where there is none, without functions yet."""
        with self._database.write() as session:
            app = session.scalar(_named(environment, name).where(App.client == DEPLOYER))
            if app is None:
                app = App(app_id, environment, name, False, DEPLOYER, "initializing", time.time(), tags=tags)
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

    def of_environment(self, environment: str) -> list[App]:
        """Every app of an environment, stopped ones too."""
        with self._database.read() as session:
            return list(session.scalars(select(App).where(App.environment == environment)))

    def names(self, app_ids: Collection[str]) -> dict[str, str]:
        """The names of apps, stopped ones too."""
        return self._of(app_ids, App.name)

    def tags_of(self, app_ids: Collection[str]) -> dict[str, dict[str, str]]:
        """The tags of apps, likewise."""
        return {app_id: json.loads(tags) for app_id, tags in self._of(app_ids, App.tags).items()}

    def _of(self, app_ids: Collection[str], column: InstrumentedAttribute[str]) -> dict[str, str]:
        ids, found = sorted(app_ids), dict[str, str]()
        with self._database.read() as session:
            for at in range(0, len(ids), AT_ONCE):
                query = select(App.app_id, column).where(App.app_id.in_(ids[at : at + AT_ONCE]))
                found.update({row[0]: row[1] for row in session.execute(query)})
        return found

    def ids_of(self, named: str, environment: str) -> list[str]:
        """The apps of a name or an id, stopped ones too. `environment`: "" for all."""
        query = select(App.app_id).where(or_(App.app_id == named, App.name == named))
        if environment:
            query = query.where(App.environment == environment)
        with self._database.read() as session:
            return list(session.scalars(query))

    def live_of(self, client: str) -> list[App]:
        """The apps of a client that are not stopped: they end with its session, detached ones when their calls have."""
        query = select(App).where(App.client == client, App.state.in_(LIVE))
        with self._database.read() as session:
            return list(session.scalars(query.order_by(App.app_id)))

    def live_named(self, environment: str, name: str) -> list[App]:
        """The apps of a name that are not stopped: the deployed one, then the newest first, as several people may
        run one at a time."""
        with self._database.read() as session:
            apps = list(session.scalars(_named(environment, name)))
        return sorted(apps, key=lambda app: app.state != "deployed")

    def listed(self, environment: str, *, stopped: bool) -> list[App]:
        """The apps of an environment, newest first; those that were stopped in the last day, too."""
        query = select(App).where(App.environment == environment)
        late = App.stopped_at > time.time() - STOPPED_KEPT_S
        query = query.where(or_(App.state.in_(LIVE), late) if stopped else App.state.in_(LIVE))
        query = query.where(or_(App.client != DEPLOYER, App.version > 0))
        with self._database.read() as session:
            return list(session.scalars(query.order_by(App.created_at.desc(), App.app_id.desc())))

    def tag(self, app_id: str, tags: dict[str, str]) -> None:
        """Gives an app these tags in place of those that it has."""
        with self._database.write() as session:
            app = session.get(App, app_id)
            if app is not None:
                app.tags = json.dumps(tags)

    def stop(self, app_id: str, reason: str) -> bool:
        """Marks an app stopped; whether it was not so already."""
        with self._database.write() as session:
            app = session.get(App, app_id)
            if app is None or app.state == "stopped":
                return False
            app.state, app.reason, app.stopped_at = "stopped", reason, time.time()
            return True

    def end_unfinished(self) -> None:
        """Stops apps whose first deploy began a day ago and never came to an end."""
        began = App.created_at < time.time() - UNFINISHED_S
        query = select(App.app_id).where(App.client == DEPLOYER, App.state == "initializing", began)
        with self._database.read() as session:
            unfinished = list(session.scalars(query))
        for app_id in unfinished:
            self.stop(app_id, "its deploy was not finished")

    def purge(self, app_id: str) -> None:
        """Drops what a stopped app needs no more: its secrets, its right to blobs, its variants and versions."""
        with self._database.write() as session:
            session.execute(delete(Secret).where(Secret.app_id == app_id))
            session.execute(delete(BlobGrant).where(BlobGrant.app_id == app_id))
            session.execute(delete(Variant).where(Variant.app_id == app_id))
            session.execute(delete(Version).where(Version.app_id == app_id))

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


def _named(environment: str, name: str) -> Select[App]:
    query = select(App).where(App.environment == environment, App.name == name, App.state.in_(LIVE))
    return query.order_by(App.created_at.desc(), App.app_id.desc())
