"""Secrets: of apps (PutSecret), with names (PutNamedSecret, FindSecret, ListSecrets), and their master key."""

from __future__ import annotations

import re
from collections.abc import Callable

from ionian.protocol.apps import PutSecret, SecretKept
from ionian.protocol.names import EXPECTED_VARIABLE, is_variable
from ionian.protocol.objects import ObjectInfo
from ionian.protocol.secrets import (
    FindSecret,
    How,
    ListSecrets,
    MasterKeyRotated,
    PutNamedSecret,
    RotateMasterKey,
    SecretInfo,
    SecretList,
)
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..master_key import SecretError
from .apps import app_of
from .context import Context, in_thread
from .names import check_id, environment_of
from .objects import find_named, info_of, name_of, place_of

TOTAL_MAX = 64 << 10
"""Bytes of one secret: an environment of a process holds not much more."""

SECRET_ID = re.compile(r'"(st-[0-9A-Z]{26})"')


async def put_secret(
    actor: Actor, message: PutSecret, _: bytes, context: Context
) -> tuple[SecretKept, bytes]:
    """Keeps a secret of an app, sealed."""
    app = await app_of(actor, "PutSecret", message.app_id, context)
    if app.state == "stopped":
        raise Refused("ConflictError", f"app {app.name} ({app.app_id}) was stopped; run it again")
    _check(message.values)
    return SecretKept(await in_thread(context.secrets.put, app, message.values)), b""


async def put_named_secret(
    actor: Actor, message: PutNamedSecret, _: bytes, context: Context
) -> tuple[ObjectInfo, bytes]:
    """Makes or changes the secret of a name."""
    environment = await place_of(actor, "secret", message, context)
    check_id("st", message.object_id)
    _check(message.values)
    if message.how == "merge":  # it has to be there
        await find_named("secret", environment, message.name, context)
    try:
        found = await in_thread(
            context.secrets.put_named,
            message.object_id,
            environment=environment,
            name=message.name,
            created_by=await name_of(actor, context),
            change=lambda values: _changed(values, message.values, message.how),
        )
    except SecretError as error:
        raise Refused("InternalFailure", str(error)) from None
    if message.how == "create" and found.object_id != message.object_id:
        raise Refused(
            "AlreadyExistsError",
            f"there is a secret {message.name!r} in environment {environment!r} already; `ionian secret create --force` "
            "replaces its values",
        )
    return info_of(found), b""


def _changed(
    values: Callable[[], dict[str, str]] | None, given: dict[str, str], how: How
) -> dict[str, str] | None:
    """The values that a secret shall have; None: those that it has."""
    if values is None or how == "replace":  # also one that no key opens any more
        return given
    if how != "merge":  # asked again; or refused by who called
        return None
    there = values()
    wanted = there | given
    _check(wanted)
    return None if wanted == there else wanted


async def find_secret(
    actor: Actor, message: FindSecret, _: bytes, context: Context
) -> tuple[ObjectInfo, bytes]:
    """A secret by its name."""
    environment = await place_of(actor, "secret", message, context)
    found = await find_named("secret", environment, message.name, context)
    if message.required_keys:
        try:
            names = await in_thread(context.secrets.names_of, found.object_id)
        except SecretError as error:
            raise Refused("InternalFailure", str(error)) from None
        missing = sorted(set(message.required_keys) - names)
        if missing:
            raise Refused(
                "NotFoundError",
                f"secret {message.name!r} in environment {environment!r} lacks {', '.join(missing)[:500]}, which "
                "required_keys asks for",
            )
    return info_of(found), b""


async def list_secrets(
    actor: Actor, message: ListSecrets, _: bytes, context: Context
) -> tuple[SecretList, bytes]:
    """The secrets of an environment that have a name."""
    authorise(actor, "ListSecrets", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    return SecretList(await in_thread(_listed, environment, context)), b""


def _listed(environment: str, context: Context) -> list[SecretInfo]:
    users: dict[str, set[str]] = {}
    for app, spec in context.store.functions.live_specs():
        for secret_id in SECRET_ID.findall(spec):
            users.setdefault(secret_id, set()).add(app)
    return [
        SecretInfo(
            found.object_id,
            found.name or "",
            found.created_at,
            found.created_by,
            value.version,
            value.updated_at,
            value.last_used_at or 0.0,
            not context.secrets.opens(value.key_id),
            sorted(users.get(found.object_id, ())),
        )
        for found, value in context.store.secrets.listed(environment)
    ]


async def rotate_master_key(
    actor: Actor, message: RotateMasterKey, _: bytes, context: Context
) -> tuple[MasterKeyRotated, bytes]:
    """Another master key."""
    authorise(actor, "RotateMasterKey", Target())
    try:
        done = await in_thread(context.secrets.rotate)
    except SecretError as error:
        raise Refused("InvalidError", str(error)) from None
    return MasterKeyRotated(done.key_id, done.wrapped, done.source, done.former), b""


def _check(values: dict[str, str]) -> None:
    """Refuses what no environment can hold. No message repeats a value."""
    for name, value in values.items():
        if not is_variable(name):
            raise Refused("InvalidError", f"expected {EXPECTED_VARIABLE} in a secret, got {name[:80]!r}")
        if "\0" in value:
            raise Refused("InvalidError", f"expected a value without NUL characters for {name} in a secret")
    total = sum(len(name.encode()) + len(value.encode()) for name, value in values.items())
    if total > TOTAL_MAX:
        raise Refused("InvalidError", f"expected a secret of up to {TOTAL_MAX:,} bytes, got {total:,}")
