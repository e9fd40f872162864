"""Images that were built, and the names under which they are published."""

from __future__ import annotations

import time
from collections.abc import Iterable

import msgspec
from sqlalchemy import delete, func, select, update

from ionian.protocol.images import every_instruction
from ionian.protocol.spec import ImageSpec

from .database import Database, once_more
from .objects import made_now
from .schema import Image, ImagePublication


class Images:
    """The images of all environments. An id is of one content, so several environments may have the same."""

    def __init__(self, database: Database) -> None:
        self._database = database

    # --- built

    @once_more
    def built(
        self,
        environment: str,
        image_id: str,
        spec: ImageSpec,
        *,
        app: str,
        by: str,
        seconds: float,
        python: str,
        size: int,
        cached: bool,
    ) -> None:
        """A build came to a good end. Where all was there already the image keeps the time and the maker it had."""
        now = made_now()
        with self._database.write() as session:
            row = session.get(Image, (environment, image_id))
            if row is None:
                row = Image(environment, image_id, "built", encoded(spec), app, by, now, now)
                session.add(row)
            elif not cached or row.state != "built":
                row.built_at, row.built_by = now, by
            if not cached or not row.seconds:
                row.seconds = seconds
            row.state, row.error, row.python, row.size, row.used_at = "built", "", python, size, now

    @once_more
    def failed(
        self, environment: str, image_id: str, spec: ImageSpec, *, app: str, by: str, error: str
    ) -> None:
        """A build failed. An image that was built before stays so."""
        now = made_now()
        with self._database.write() as session:
            row = session.get(Image, (environment, image_id))
            if row is None:
                row = Image(environment, image_id, "failed", encoded(spec), app, by, now, now)
                session.add(row)
            if row.state == "failed":
                row.error, row.built_at, row.built_by = error, now, by

    def find(self, image_id: str, environments: Iterable[str] = ()) -> list[Image]:
        """An image in each environment that has it; of these environments, where any are given."""
        query = select(Image).where(Image.image_id == image_id).order_by(Image.built_at.desc())
        wanted = list(environments)
        if wanted:
            query = query.where(Image.environment.in_(wanted))
        with self._database.read() as session:
            return list(session.scalars(query))

    def list(self, environment: str) -> list[Image]:
        """The images of an environment, newest first."""
        query = select(Image).where(Image.environment == environment)
        with self._database.read() as session:
            return list(session.scalars(query.order_by(Image.built_at.desc(), Image.image_id)))

    def used(self, environment: str, image_ids: Iterable[str]) -> None:
        """Something is published that stands on these images."""
        query = update(Image).where(Image.environment == environment, Image.image_id.in_(list(image_ids)))
        with self._database.write() as session:
            session.execute(query.values(used_at=time.time()))

    def forget(self, environment: str, image_id: str) -> None:
        """An environment has this image no more, and no name that meant it."""
        with self._database.write() as session:
            for table in (ImagePublication, Image):
                session.execute(
                    delete(table).where(table.environment == environment, table.image_id == image_id)
                )

    def forget_all(self, image_ids: Iterable[str]) -> None:
        """No environment has these images any more, but those that have a name."""
        gone = set(image_ids) - self.published()
        with self._database.write() as session:
            for image_id in gone:
                for table in (ImagePublication, Image):
                    session.execute(delete(table).where(table.image_id == image_id))

    # --- names

    def publish(self, environment: str, name: str, image_id: str, by: str) -> None:
        """From now on the name means this image."""
        with self._database.write() as session:
            session.add(ImagePublication(environment, name, image_id, made_now(), by))

    def named(self, environment: str, name: str) -> ImagePublication | None:
        """What a name means."""
        history = self.history(environment, name, limit=1)
        return history[0] if history else None

    def history(self, environment: str, name: str, *, limit: int = 0) -> list[ImagePublication]:
        """What a name has meant, newest first."""
        query = (
            select(ImagePublication)
            .where(ImagePublication.environment == environment, ImagePublication.name == name)
            .order_by(ImagePublication.number.desc())
        )
        with self._database.read() as session:
            return list(session.scalars(query.limit(limit) if limit else query))

    def names(self, environment: str, prefix: str = "") -> list[tuple[ImagePublication, float]]:
        """What the names of an environment mean, by name; with the time when each was given first."""
        newest = (
            select(func.max(ImagePublication.number), func.min(ImagePublication.published_at))
            .where(ImagePublication.environment == environment)
            .group_by(ImagePublication.name)
        )
        with self._database.read() as session:
            first: dict[int, float] = dict(session.execute(newest).all())  # type: ignore[arg-type]
            query = select(ImagePublication).where(ImagePublication.environment == environment)
            rows = [row for row in session.scalars(query) if row.number in first]
        found = [(row, first[row.number]) for row in rows if row.name.startswith(prefix)]
        return sorted(found, key=lambda each: each[0].name)

    def unpublish(self, environment: str, name: str) -> bool:
        """Forgets a name. False: there was none."""
        of_it = (ImagePublication.environment == environment, ImagePublication.name == name)
        with self._database.write() as session:
            return bool(session.execute(delete(ImagePublication).where(*of_it)).rowcount)  # type: ignore[attr-defined]

    def published(self) -> set[str]:
        """The ids of all images that a name means now, of all environments."""
        newest = select(func.max(ImagePublication.number)).group_by(
            ImagePublication.environment, ImagePublication.name
        )
        with self._database.read() as session:
            query = select(ImagePublication.image_id).where(ImagePublication.number.in_(newest))
            return set(session.scalars(query))

    def blobs(self) -> set[str]:
        """The files of all images that a name means: a worker may have to build one again."""
        published = self.published()
        with self._database.read() as session:
            rows = list(session.scalars(select(Image).where(Image.image_id.in_(published))))
        return {
            file.digest for row in rows for step in every_instruction(decoded(row)) for file in step.files
        }


def encoded(spec: ImageSpec) -> str:
    """An image as a row has it."""
    return msgspec.json.encode(spec).decode()


def decoded(row: Image) -> ImageSpec:
    """The image of a row."""
    return _decoder.decode(row.spec)


_decoder = msgspec.json.Decoder(ImageSpec)
