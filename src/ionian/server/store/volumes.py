"""Volumes: objects with a name whose files lie elsewhere, under their ids; and the newest versions of some."""

from __future__ import annotations

import time
from dataclasses import dataclass

from sqlalchemy import delete, or_, select
from sqlalchemy.orm import Session

from .database import Database
from .objects import is_there
from .schema import NamedObject, VolumeCommit, VolumeVersion

KEEP_COMMITS_S = 7 * 24 * 3600.0
"""So long a commit is known that nobody said to have had the answer of: the last one of each copy, which may be gone for good."""


@dataclass(frozen=True)
class Commit:
    """A commit that may be sent again; and an earlier one that may not, for its answer was had."""

    commit_id: str
    answered: str = ""


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

    def isolated(self, volume_ids: set[str]) -> set[str]:
        """Those of which each container has a copy of its own."""
        query = select(NamedObject.object_id).where(
            NamedObject.object_id.in_(volume_ids), NamedObject.isolated != 0
        )
        with self._database.read() as session:
            return set(session.scalars(query))

    def newest(self, volume_id: str) -> VolumeVersion:
        """The newest version; one without a manifest: there is none yet."""
        with self._database.read() as session:
            return session.get(VolumeVersion, volume_id) or VolumeVersion(volume_id, 0, "", 0.0)

    def committed(self, volume_id: str, commit_id: str) -> str:
        """What this commit was answered; "": it is not known."""
        with self._database.read() as session:
            found = session.get(VolumeCommit, (volume_id, commit_id))
            return found.manifest if found is not None else ""

    def advance(self, volume_id: str, manifest: str, bucket: str = "", commit: Commit | None = None) -> int:
        """The newest version is this one from now on, and the commit that made it is known; returns its number."""
        with self._database.write() as session:
            found = session.get(VolumeVersion, volume_id)
            if found is None:
                found = VolumeVersion(volume_id, 0, "", 0.0)
                session.add(found)
            found.number, found.manifest, found.made_at = found.number + 1, manifest, time.time()
            found.bucket = bucket
            if commit is not None:
                _remember(session, volume_id, manifest, commit)
            return found.number

    def changed_nothing(self, volume_id: str, manifest: str, commit: Commit) -> None:
        """A commit is known that left the newest version as it was."""
        with self._database.write() as session:
            _remember(session, volume_id, manifest, commit)

    def versions(self) -> list[VolumeVersion]:
        """All newest versions."""
        with self._database.read() as session:
            return list(session.scalars(select(VolumeVersion)))

    def forget(self, volume_id: str) -> None:
        """The volume is gone, and so are its versions."""
        with self._database.write() as session:
            session.execute(delete(VolumeVersion).where(VolumeVersion.volume_id == volume_id))
            session.execute(delete(VolumeCommit).where(VolumeCommit.volume_id == volume_id))


def _remember(session: Session, volume_id: str, manifest: str, commit: Commit) -> None:
    now = time.time()
    over = or_(VolumeCommit.commit_id == commit.answered, VolumeCommit.made_at < now - KEEP_COMMITS_S)
    session.execute(delete(VolumeCommit).where(VolumeCommit.volume_id == volume_id, over))
    session.add(VolumeCommit(volume_id, commit.commit_id, manifest, now))
