"""Objects by their names: FindObject, CreateObject, CreateEphemeral, KeepEphemeral, ListObjects, DeleteObject.

One set of handlers for every kind of object. A kind that keeps things elsewhere than in the store deletes them when the
object's row is `expired`.
"""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import Protocol

from ionian.protocol.ids import new_id
from ionian.protocol.messages import Done
from ionian.protocol.objects import (
    KEEP_EVERY_S,
    PREFIXES,
    CreateEphemeral,
    CreateObject,
    DeleteObject,
    FindObject,
    KeepEphemeral,
    ListObjects,
    ObjectInfo,
    ObjectKind,
    ObjectList,
    RenameObject,
)
from ionian.protocol.stream import Refused

from ..auth import NOT_OF_SECRETS, Actor, PermissionDenied, Target, authorise
from ..store.schema import NamedObject
from ..sweeping import STEP_ROWS, in_steps
from .context import Context, in_thread
from .names import check_id, check_name, environment_of, there_are

log = logging.getLogger("ionian.server")

KEEP_S = 3 * KEEP_EVERY_S
"""An ephemeral object is kept for so long without a word from who made it."""


async def find_object(
    actor: Actor, message: FindObject, _: bytes, context: Context
) -> tuple[ObjectInfo, bytes]:
    """An object, made where it is missing and the message asks for that."""
    if message.object_id:
        return info_of(await object_of(actor, "FindObject", message.kind, message.object_id, context)), b""
    environment = await place_of(actor, message.kind, message, context)
    if not message.create:
        return info_of(await find_named(message.kind, environment, message.name, context)), b""
    _refuse_secret(message.kind)
    return info_of(await _create(actor, message.kind, message.name, environment, "", context)), b""


async def create_object(
    actor: Actor, message: CreateObject, _: bytes, context: Context
) -> tuple[ObjectInfo, bytes]:
    """Makes an object, which may be there already only where the message says so."""
    _refuse_secret(message.kind)
    environment = await place_of(actor, message.kind, message, context)
    check_id(PREFIXES[message.kind], message.object_id)
    if message.isolated and message.kind != "volume":
        raise Refused("InvalidError", f"isolated: expected a volume, got a {message.kind}")
    made = await _create(
        actor, message.kind, message.name, environment, message.object_id, context, isolated=message.isolated
    )
    if message.isolated and not made.isolated:
        raise Refused(
            "AlreadyExistsError",
            f"there is a volume {message.name!r} in environment {environment!r} already that is not isolated, and that "
            "can't be changed; take another name",
        )
    if made.object_id != message.object_id and not message.allow_existing:
        raise Refused(
            "AlreadyExistsError",
            f"there is a {message.kind} {message.name!r} in environment {environment!r} already; "
            "delete it first, or take another name",
        )
    return info_of(made), b""


async def create_ephemeral(
    actor: Actor, message: CreateEphemeral, _: bytes, context: Context
) -> tuple[ObjectInfo, bytes]:
    """Makes an object without a name."""
    authorise(actor, "CreateEphemeral", Target(message.environment))
    _refuse_secret(message.kind)
    environment = await environment_of(actor, message.environment, context)
    check_id(PREFIXES[message.kind], message.object_id)
    made = await in_thread(
        context.store.objects.create_ephemeral,
        message.object_id,
        kind=message.kind,
        environment=environment,
        keep_s=KEEP_S,
        created_by=await name_of(actor, context),
    )
    if (made.kind, made.environment, made.name) != (message.kind, environment, None):
        raise Refused("AlreadyExistsError", f"{message.object_id} is another object; make a new id")
    return info_of(made), b""


async def keep_ephemeral(
    actor: Actor, message: KeepEphemeral, _: bytes, context: Context
) -> tuple[Done, bytes]:
    """Keeps an object without a name for some more time."""
    found = await in_thread(context.store.objects.by_id, message.object_id)
    authorise(actor, "KeepEphemeral", Target(found.environment if found is not None else ""))
    await in_thread(context.store.objects.keep, message.object_id, KEEP_S)
    return Done(), b""


async def list_objects(
    actor: Actor, message: ListObjects, _: bytes, context: Context
) -> tuple[ObjectList, bytes]:
    """The objects of a kind that have a name."""
    _authorise(actor, "ListObjects", message.kind, message.environment)
    environment = await environment_of(actor, message.environment, context)
    found = await in_thread(
        context.store.objects.list,
        message.kind,
        environment,
        limit=max(0, message.limit),
        created_before=message.created_before,
    )
    return ObjectList([info_of(each) for each in found]), b""


async def delete_object(
    actor: Actor, message: DeleteObject, _: bytes, context: Context
) -> tuple[Done, bytes]:
    """Deletes an object. Its name is free at once; what is in it goes bit by bit."""
    _authorise(actor, "DeleteObject", message.kind, message.environment)
    if message.object_id:
        found = await object_of(actor, "DeleteObject", message.kind, message.object_id, context)
    else:
        environment = await environment_of(actor, message.environment, context)
        found = await find_named(message.kind, environment, message.name, context)
    await in_thread(context.store.objects.delete, found.object_id)
    for tell in context.on_deleted:
        tell(found.object_id)
    return Done(), b""


async def rename_object(
    actor: Actor, message: RenameObject, _: bytes, context: Context
) -> tuple[Done, bytes]:
    """Gives an object another name. Who has its id, as a deployed app has, keeps it."""
    _authorise(actor, "RenameObject", message.kind, message.environment)
    environment = await environment_of(actor, message.environment, context)
    check_name(f"a {message.kind}", message.new_name)
    found = await find_named(message.kind, environment, message.name, context)
    if not await in_thread(context.store.objects.rename, found.object_id, message.new_name):
        raise Refused(
            "AlreadyExistsError",
            f"there is a {message.kind} {message.new_name!r} in environment {environment!r} already; take another name",
        )
    return Done(), b""


async def delete_content(object_id: str, context: Context) -> None:
    """Deletes what is in an object, bit by bit: others write between two of them."""
    for tell in context.on_deleted:
        tell(object_id)
    await in_steps(context.store.old_items.delete_content, object_id, STEP_ROWS)


def remove_folder(folder: Path) -> None:
    """Removes what an object kept in files, as far as this user can."""
    shutil.rmtree(folder, ignore_errors=True)
    if folder.exists():  # a plain user's container may have left what belongs to another id
        log.warning("can't remove all of %s: remove what is left as root", folder)


class _Named(Protocol):
    environment: str
    name: str


async def place_of(actor: Actor, kind: ObjectKind, message: _Named, context: Context) -> str:
    """The environment of the object that a message names, if the actor may send it and the name can be one."""
    authorise(actor, type(message).__name__, Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    check_name(f"a {kind}", message.name)
    return environment


async def find_named(kind: ObjectKind, environment: str, name: str, context: Context) -> NamedObject:
    """The object of a name. Refuses where there is none."""
    found = await in_thread(context.store.objects.find, kind, environment, name)
    if found is None:
        raise await _missing(kind, environment, name, context)
    return found


def _authorise(actor: Actor, action: str, kind: ObjectKind, environment: str) -> None:
    authorise(actor, action, Target(environment))
    if kind == "secret" and actor.kind == "container" and action in NOT_OF_SECRETS:
        raise PermissionDenied(f"a container may not send {action} about secrets")


def _refuse_secret(kind: ObjectKind) -> None:
    if kind == "secret":
        raise Refused("InvalidError", "a secret is made with its values: expected PutNamedSecret")


async def object_of(
    actor: Actor, action: str, kind: ObjectKind, object_id: str, context: Context
) -> NamedObject:
    """The object of an id, if the actor may do that with it."""
    found = await in_thread(context.store.objects.by_id, object_id)
    authorise(actor, action, Target(found.environment if found is not None else ""))
    if found is None or found.kind != kind:
        raise Refused("NotFoundError", f"there is no {kind} {object_id[:80]}; it may have been deleted")
    return found


async def _create(
    actor: Actor,
    kind: ObjectKind,
    name: str,
    environment: str,
    object_id: str,
    context: Context,
    *,
    isolated: bool = False,
) -> NamedObject:
    return await in_thread(
        context.store.objects.create,
        object_id or new_id(PREFIXES[kind]),
        kind=kind,
        environment=environment,
        name=name,
        created_by=await name_of(actor, context),
        isolated=isolated,
    )


async def _missing(kind: ObjectKind, environment: str, name: str, context: Context) -> Refused:
    others = await in_thread(context.store.objects.list, kind, environment)
    names = there_are(name, [each.name for each in others if each.name])
    how = f"{kind.capitalize()}.from_name({name[:80]!r}, create_if_missing=True)"
    if kind == "secret":
        how = f"`ionian secret create {name[:80]} KEY=VALUE`"
    return Refused(
        "NotFoundError",
        f"there is no {kind} {name[:80]!r} in environment {environment!r}; {names}; make it with {how}",
    )


async def name_of(actor: Actor, context: Context) -> str:
    """Who an actor is, for people: a token by its name, a container by its app's."""
    if actor.kind == "container":
        app = await in_thread(context.store.apps.find, actor.app_id)
        return f"app {app.name}" if app is not None else actor.app_id
    token = await in_thread(context.store.tokens.find, actor.token_id)
    return token.name if token is not None else ""


def info_of(found: NamedObject) -> ObjectInfo:
    """An object as clients know it."""
    return ObjectInfo(
        found.object_id, found.name or "", found.environment, found.created_at, found.created_by
    )
