"""Packed layers in the blob store, and what they stand for: kept when every worker that had them is gone."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ionian.protocol.layers import FoundLayers, PackedLayer

from .database import Database, once_more
from .schema import PackedImage


class PackedImages:
    """What workers have given to others, by image, step and base. A later worker's takes the place of an earlier one's."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @once_more
    def keep(self, name: str, arch: str, found: FoundLayers, known: str) -> None:
        """What a worker gave under a name, and all that it knows of the layers below."""
        rows = [(below.name, below.known, below.layers) for below in found.below]
        with self._database.write() as session:
            for each, what, count in [*rows, (name, known, len(found.layers))]:
                session.merge(PackedImage(each, arch, what, _encoded(found.layers[:count])))

    def find(self, name: str, arch: str) -> tuple[list[PackedLayer], str] | None:
        """The layers of a name, and what is known of it."""
        with self._database.read() as session:
            row = session.get(PackedImage, (name, arch))
        return None if row is None else (_layers(row), row.known)

    def blobs(self, image_ids: Iterable[str]) -> set[str]:
        """The layers of these images."""
        wanted = set(image_ids)
        with self._database.read() as session:
            return {each for row in _images(session) if row.name in wanted for each in _digests(row)}

    def forget(self, image_ids: Collection[str]) -> None:
        """These images are removed: what no other image stands on goes with them, so that it is built anew."""
        with self._database.write() as session:
            images = _images(session)
            gone = {each for row in images if row.name in image_ids for each in _digests(row)}
            gone -= {each for row in images if row.name not in image_ids for each in _digests(row)}
            session.execute(delete(PackedImage).where(PackedImage.name.in_(list(image_ids))))
            _remove(session, gone)

    def lost(self, digests: Collection[str]) -> None:
        """These blobs are no more."""
        with self._database.write() as session:
            _remove(session, set(digests))


def _images(session: Session) -> list[PackedImage]:
    return list(session.scalars(select(PackedImage).where(PackedImage.name.startswith("im-"))))


def _remove(session: Session, digests: set[str]) -> None:
    for row in session.scalars(select(PackedImage)) if digests else ():
        if not digests.isdisjoint(_digests(row)):
            session.delete(row)


def _encoded(layers: list[PackedLayer]) -> str:
    return msgspec.json.encode(layers).decode()


def _layers(row: PackedImage) -> list[PackedLayer]:
    return _decoder.decode(row.layers)


def _digests(row: PackedImage) -> list[str]:
    return [layer.digest for layer in _layers(row)]


_decoder = msgspec.json.Decoder(list[PackedLayer])
