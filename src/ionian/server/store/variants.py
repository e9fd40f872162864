"""Variants of functions: with which overrides each was asked for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import msgspec
from sqlalchemy import func, select

from ionian.protocol.spec import Overrides, Scaling

from .database import Database, once_more
from .schema import Variant

CHUNK = 500
"""Ids in one statement."""


class VariantOf(NamedTuple):
    """What a variant varies, and how."""

    base_id: str
    app_id: str
    overrides: Overrides


class Variants:
    """The variants. They stay when their app is deployed anew, and when a version lacks their function."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @once_more
    def put(self, function_id: str, *, base_id: str, app_id: str, overrides: Overrides) -> Scaling | None:
        """Keeps a variant, unless it is there already; returns what `update_autoscaler` made of it, if it did."""
        with self._database.write() as session:
            row = session.get(Variant, function_id)
            if row is None:
                text = msgspec.json.encode(overrides).decode()
                session.add(Variant(function_id, base_id, app_id, text))
                return None
            return _scaling(row)

    @once_more
    def put_all(
        self, app_id: str, variants: Sequence[tuple[str, str]], overrides: Overrides
    ) -> dict[str, Scaling | None]:
        """The same for many that have these overrides: their ids, and those of what they vary."""
        text = msgspec.json.encode(overrides).decode()
        with self._database.write() as session:
            there: dict[str, Scaling | None] = {}
            for at in range(0, len(variants), CHUNK):
                part = [function_id for function_id, _ in variants[at : at + CHUNK]]
                rows = session.scalars(select(Variant).where(Variant.function_id.in_(part)))
                there.update((row.function_id, _scaling(row)) for row in rows)
            session.add_all([Variant(*ids, app_id, text) for ids in variants if ids[0] not in there])
        return there

    def find(self, function_id: str) -> VariantOf | None:
        """The function that a variant varies, and how."""
        with self._database.read() as session:
            row = session.get(Variant, function_id)
        return None if row is None else VariantOf(row.base_id, row.app_id, _decoder.decode(row.overrides))

    def of(self, app_id: str) -> list[tuple[str, Overrides, Scaling | None]]:
        """The variants of an app's functions: what each varies and how, and what `update_autoscaler` made of it."""
        query = select(Variant).where(Variant.app_id == app_id).order_by(Variant.function_id)
        with self._database.read() as session:
            return [
                (row.base_id, _decoder.decode(row.overrides), _scaling(row)) for row in session.scalars(query)
            ]

    def count(self, app_id: str, base_id: str) -> int:
        """How many variants of a function there are."""
        query = select(func.count()).where(Variant.app_id == app_id, Variant.base_id == base_id)
        with self._database.read() as session:
            return session.scalar(query) or 0


def _scaling(row: Variant) -> Scaling | None:
    return None if row.scaling is None else msgspec.json.decode(row.scaling, type=Scaling)


_decoder = msgspec.json.Decoder(Overrides)
