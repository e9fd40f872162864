"""Versions of deployed apps: each deploy is one transaction, and the last hundred can be brought back."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import msgspec
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from ionian.protocol.apps import Deploy, Strategy
from ionian.protocol.spec import FunctionSpec

from .blob_grants import CHUNK, grant
from .database import Database
from .functions import AppIsOver, check_ids, replace_functions
from .schema import App, BlobGrant, Function, Secret, Version

KEPT = 100
"""Versions of an app that can be brought back. Blobs and secrets of older ones go."""


class NoSuchVersion(Exception):
    """An app has no version of this number, or has it no more."""


class Published(NamedTuple):
    """What a deploy came to. `changed` is False where all was there already, and no version was made."""

    app: App
    specs: list[FunctionSpec]
    changed: bool


class Versions:
    """The versions of the deployed apps."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def publish(
        self, app_id: str, specs: Sequence[FunctionSpec], deploy: Deploy, digests: set[str]
    ) -> Published:
        """Makes these the functions of a deployed app, as its next version; nothing where they are so already.

        `digests`: the blobs that its containers may read. A function keeps its id, whatever id came with it: two
        people may deploy an app for the first time at once. Raises AppIsOver or FunctionIdTaken; then nothing was
        changed.
        """
        with self._database.write() as session:
            app = _app(session, app_id)
            current = _functions(session, app_id)
            wanted = [_with_id_of(spec, current.get(spec.tag)) for spec in specs]
            if app.state == "deployed" and not _differs(session, app, current, wanted, deploy):
                return Published(app, list(current.values()), False)
            return _make(session, app, wanted, deploy, digests, 0)

    def bring_back(self, app_id: str, number: int, strategy: Strategy) -> Published:
        """Makes an earlier version of a deployed app its next one. Raises AppIsOver or NoSuchVersion."""
        with self._database.write() as session:
            app = _app(session, app_id)
            row = session.get(Version, (app_id, number))
            if row is None:
                raise NoSuchVersion(number)
            specs = _decoder.decode(row.specs)
            deploy = Deploy(row.tag, strategy, row.client_version, row.commit, row.user)
            return _make(session, app, specs, deploy, set(), number)

    def functions(self, app_id: str, number: int) -> dict[str, FunctionSpec] | None:
        """The functions of a version, by their ids; None where there is no such version (any more)."""
        with self._database.read() as session:
            row = session.get(Version, (app_id, number))
        return None if row is None else {spec.function_id: spec for spec in _decoder.decode(row.specs)}

    def of(self, app_id: str) -> list[Version]:
        """The versions of an app that are kept, newest first."""
        query = select(Version).where(Version.app_id == app_id).order_by(Version.number.desc())
        with self._database.read() as session:
            return list(session.scalars(query))


def _app(session: Session, app_id: str) -> App:
    app = session.get(App, app_id)
    if app is None or app.state == "stopped":
        raise AppIsOver(app_id)
    return app


def _functions(session: Session, app_id: str) -> dict[str, FunctionSpec]:
    query = select(Function.spec).where(Function.app_id == app_id).order_by(Function.tag)
    specs = [_one.decode(spec) for spec in session.scalars(query)]
    return {spec.tag: spec for spec in specs}


def _with_id_of(spec: FunctionSpec, current: FunctionSpec | None) -> FunctionSpec:
    same_kind = current is not None and (current.class_spec is None) == (spec.class_spec is None)
    return replace(spec, function_id=current.function_id) if current is not None and same_kind else spec


def _differs(
    session: Session, app: App, current: dict[str, FunctionSpec], wanted: list[FunctionSpec], deploy: Deploy
) -> bool:
    """Whether a deploy asks for anything that is not there."""
    if _plain(wanted) != _plain(current.values()):
        return True
    if deploy.tags is not None and deploy.tags != json.loads(app.tags):
        return True
    newest = session.get(Version, (app.app_id, app.version))
    return newest is None or (bool(deploy.tag) and deploy.tag != newest.tag)


def _plain(specs: Iterable[FunctionSpec]) -> dict[str, FunctionSpec]:
    """What a program says of its functions, by their tags."""
    return {spec.tag: replace(spec, version=0, recreate=False) for spec in specs}


def _make(
    session: Session,
    app: App,
    specs: list[FunctionSpec],
    deploy: Deploy,
    digests: set[str],
    from_version: int,
) -> Published:
    number, now = app.version + 1, time.time()
    specs = [replace(spec, version=number, recreate=deploy.strategy == "recreate") for spec in specs]
    check_ids(session, app.app_id, specs)
    replace_functions(session, app, specs)
    grant(session, app.app_id, app.environment, digests)
    session.add(
        Version(
            app.app_id,
            number,
            now,
            deploy.tag,
            deploy.client_version,
            deploy.commit,
            deploy.user,
            from_version,
            _encoder.encode(specs).decode(),
        )
    )
    app.state, app.version, app.deployed_at = "deployed", number, now
    if deploy.tags is not None:
        app.tags = json.dumps(deploy.tags)
    _drop_old(session, app)
    return Published(app, specs, True)


def _drop_old(session: Session, app: App) -> None:
    """Forgets versions past the last hundred, with the blobs and secrets that they alone name."""
    session.flush()
    query = select(Version).where(Version.app_id == app.app_id).order_by(Version.number.desc())
    old = list(session.scalars(query.offset(KEPT)))
    if not old:
        return
    gone = [spec for row in old for spec in _decoder.decode(row.specs)]
    kept = [spec for row in session.scalars(query.limit(KEPT)) for spec in _decoder.decode(row.specs)]
    blobs = sorted(
        {d for spec in gone for d in digests_of(spec)} - {d for spec in kept for d in digests_of(spec)}
    )
    for at in range(0, len(blobs), CHUNK):
        part = BlobGrant.digest.in_(blobs[at : at + CHUNK])
        session.execute(delete(BlobGrant).where(BlobGrant.app_id == app.app_id, part))
    secrets = {s for spec in gone for s in _secrets(spec)} - {s for spec in kept for s in _secrets(spec)}
    session.execute(delete(Secret).where(Secret.app_id == app.app_id, Secret.secret_id.in_(sorted(secrets))))
    for row in old:
        session.delete(row)


def _secrets(spec: FunctionSpec) -> Iterator[str]:
    yield from spec.secret_ids
    yield from spec.bucket_secret_ids
    for instruction in spec.image.instructions:
        yield from instruction.secret_ids


def digests_of(spec: FunctionSpec) -> Iterator[str]:
    """Every blob that a function's containers and its image are made of."""
    if spec.serialized:
        yield spec.serialized
    for file in spec.mounts:
        yield file.digest
    for instruction in spec.image.instructions:
        for file in instruction.files:
            yield file.digest


_encoder = msgspec.json.Encoder()
_decoder = msgspec.json.Decoder(list[FunctionSpec])
_one = msgspec.json.Decoder(FunctionSpec)
