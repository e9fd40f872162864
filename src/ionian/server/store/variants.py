"""Variants of functions: with which overrides each was asked for."""

from __future__ import annotations

import msgspec
from sqlalchemy import select

from ionian.protocol.spec import Overrides

from .database import Database, once_more
from .schema import Variant


class Variants:
    """The variants. They stay when their app is deployed anew, and when a version lacks their function."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @once_more
    def put(self, function_id: str, *, base_id: str, app_id: str, overrides: Overrides) -> None:
        """Keeps a variant, unless it is there already."""
        with self._database.write() as session:
            if session.get(Variant, function_id) is None:
                text = msgspec.json.encode(overrides).decode()
                session.add(Variant(function_id, base_id, app_id, text))

    def find(self, function_id: str) -> tuple[str, Overrides] | None:
        """The function that a variant varies, and how."""
        with self._database.read() as session:
            row = session.get(Variant, function_id)
        return None if row is None else (row.base_id, _decoder.decode(row.overrides))

    def of(self, app_id: str) -> list[tuple[str, Overrides]]:
        """The variants of an app's functions: what each varies, and how."""
        query = select(Variant).where(Variant.app_id == app_id).order_by(Variant.function_id)
        with self._database.read() as session:
            return [(row.base_id, _decoder.decode(row.overrides)) for row in session.scalars(query)]


_decoder = msgspec.json.Decoder(Overrides)
