"""Functions of apps, with their whole specification."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import delete, select

from ionian.protocol.spec import FunctionSpec

from .database import Database
from .schema import App, Function


class AppIsOver(Exception):
    """The app was stopped in the meantime."""


class FunctionIdTaken(Exception):
    """A function id belongs to another app."""


class Functions:
    """The functions of the apps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish(self, app_id: str, specs: Sequence[FunctionSpec]) -> App:
        """Makes these the functions of an app, all at once, and the app a running one. Returns the app.

        Raises AppIsOver or FunctionIdTaken; then nothing was changed.
        """
        with self._database.write() as session:
            app = session.get(App, app_id)
            if app is None or app.state == "stopped":
                raise AppIsOver(app_id)
            ids = [spec.function_id for spec in specs]
            taken = select(Function.function_id).where(
                Function.function_id.in_(ids), Function.app_id != app_id
            )
            if other := session.scalar(taken):
                raise FunctionIdTaken(other)
            session.execute(delete(Function).where(Function.app_id == app_id))
            session.add_all(
                Function(spec.function_id, app_id, app.environment, spec.tag, _to_json(spec))
                for spec in specs
            )
            app.state = "detached" if app.detach else "ephemeral"
            return app

    def of(self, app_id: str) -> list[FunctionSpec]:
        """The functions of an app."""
        query = select(Function.spec).where(Function.app_id == app_id).order_by(Function.tag)
        with self._database.read() as session:
            return [_from_json(spec) for spec in session.scalars(query)]

    def tagged(self, app_id: str, tag: str) -> FunctionSpec | None:
        """The function of an app by its name there."""
        query = select(Function.spec).where(Function.app_id == app_id, Function.tag == tag)
        with self._database.read() as session:
            spec = session.scalar(query)
        return None if spec is None else _from_json(spec)

    def tags(self, app_id: str) -> dict[str, str]:
        """The names of an app's functions and their ids."""
        query = (
            select(Function.tag, Function.function_id).where(Function.app_id == app_id).order_by(Function.tag)
        )
        with self._database.read() as session:
            return {row.tag: row.function_id for row in session.execute(query)}


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(FunctionSpec)


def _to_json(spec: FunctionSpec) -> str:
    return _encoder.encode(spec).decode()


def _from_json(spec: str) -> FunctionSpec:
    return _decoder.decode(spec)
