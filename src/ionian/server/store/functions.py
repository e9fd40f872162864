"""Functions of apps, with their whole specification."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from ionian.protocol.spec import FunctionSpec, Scaling

from .database import Database
from .schema import App, Function, Variant


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
            check_ids(session, app_id, specs)
            replace_functions(session, app, specs)
            app.state = "detached" if app.detach else "ephemeral"
            return app

    def of(self, app_id: str) -> list[FunctionSpec]:
        """The functions of an app."""
        query = select(Function.spec).where(Function.app_id == app_id).order_by(Function.tag)
        with self._database.read() as session:
            return [spec_from_json(spec) for spec in session.scalars(query)]

    def live_specs(self) -> list[tuple[str, str]]:
        """The functions of the apps that are not stopped, as they are kept, each with the name of its app."""
        query = select(App.name, Function.spec).join(Function, Function.app_id == App.app_id)
        with self._database.read() as session:
            return list(session.execute(query.where(App.state != "stopped")).all())

    def find(self, function_id: str) -> tuple[App, FunctionSpec] | None:
        """A function by its id, and its app."""
        query = select(App, Function.spec).join(Function, Function.app_id == App.app_id)
        with self._database.read() as session:
            row = session.execute(query.where(Function.function_id == function_id)).first()
        return None if row is None else (row[0], spec_from_json(row[1]))

    def set_scaling(self, function_id: str, scaling: Scaling) -> None:
        """Changes how many containers a function, or a variant, has, until its app is published again."""
        with self._database.write() as session:
            row = session.get(Function, function_id)
            if row is not None:
                spec = spec_from_json(row.spec)
                spec.scaling = scaling
                row.spec = spec_to_json(spec)
            elif (variant := session.get(Variant, function_id)) is not None:
                variant.scaling = msgspec.json.encode(scaling).decode()

    def tagged(self, app_id: str, tag: str) -> FunctionSpec | None:
        """The function of an app by its name there."""
        query = select(Function.spec).where(Function.app_id == app_id, Function.tag == tag)
        with self._database.read() as session:
            spec = session.scalar(query)
        return None if spec is None else spec_from_json(spec)

    def tags(self, app_id: str) -> dict[str, str]:
        """The names of an app's functions and their ids."""
        query = (
            select(Function.tag, Function.function_id).where(Function.app_id == app_id).order_by(Function.tag)
        )
        with self._database.read() as session:
            return {row.tag: row.function_id for row in session.execute(query)}


def check_ids(session: Session, app_id: str, specs: Sequence[FunctionSpec]) -> None:
    """Raises FunctionIdTaken where one of these functions has the id of another app's."""
    ids = [spec.function_id for spec in specs]
    taken = select(Function.function_id).where(Function.function_id.in_(ids), Function.app_id != app_id)
    if other := session.scalar(taken):
        raise FunctionIdTaken(other)


def replace_functions(session: Session, app: App, specs: Sequence[FunctionSpec]) -> None:
    """Makes these the functions of an app."""
    session.execute(delete(Function).where(Function.app_id == app.app_id))
    session.execute(update(Variant).where(Variant.app_id == app.app_id).values(scaling=None))
    session.add_all(
        Function(spec.function_id, app.app_id, app.environment, spec.tag, spec_to_json(spec))
        for spec in specs
    )


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(FunctionSpec)


def spec_to_json(spec: FunctionSpec) -> str:
    """A spec as it is kept."""
    return _encoder.encode(spec).decode()


def spec_from_json(spec: str) -> FunctionSpec:
    """The spec that was kept."""
    return _decoder.decode(spec)
