"""Environments: made, listed, changed, and deleted with all that they have."""

from __future__ import annotations

import asyncio
import re

from ionian import faults
from ionian.protocol.environments import (
    CreateEnvironment,
    DeleteEnvironment,
    EnvironmentInfo,
    EnvironmentList,
    FindEnvironment,
    ListEnvironments,
    UpdateEnvironment,
)
from ionian.protocol.messages import Done
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..store.environments import DEFAULT, NameTaken, StillLive
from ..store.schema import Environment
from .apps import end_app
from .budgets import check_budget
from .context import Context, in_thread
from .names import check_environment_name, environment_of, there_are
from .objects import delete_content, remove_folder

SUFFIX = re.compile(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?\Z")


async def create_environment(
    actor: Actor, message: CreateEnvironment, _: bytes, context: Context
) -> tuple[EnvironmentInfo, bytes]:
    """A new environment."""
    authorise(actor, "CreateEnvironment", Target(message.name))
    check_environment_name(message.name)
    if not message.allow_existing and await in_thread(context.store.environments.exists, message.name):
        raise Refused("AlreadyExistsError", f"there is an environment {message.name!r} already")
    try:
        return _info(await in_thread(context.store.environments.create, message.name)), b""
    except NameTaken:
        raise Refused(
            "ConflictError", f"an environment {message.name!r} is being deleted; try again when that is done"
        ) from None


async def find_environment(
    actor: Actor, message: FindEnvironment, _: bytes, context: Context
) -> tuple[EnvironmentInfo, bytes]:
    """An environment; without a name the actor's own."""
    found = await in_thread(context.store.environments.find, message.name) if message.name else None
    name = found.name if found is not None else message.name
    authorise(actor, "FindEnvironment", Target(name))
    environment = await environment_of(actor, name, context)
    found = found or await in_thread(context.store.environments.find, environment)
    if found is None:
        raise await _no_environment(environment, context)
    apps = await in_thread(context.store.environments.live_apps)
    return _info(found, apps.get(found.name, 0)), b""


async def list_environments(
    actor: Actor, message: ListEnvironments, _: bytes, context: Context
) -> tuple[EnvironmentList, bytes]:
    """Those that the actor may use."""
    authorise(actor, "ListEnvironments", Target())
    apps = await in_thread(context.store.environments.live_apps)
    every = await in_thread(context.store.environments.all)
    mine = [one for one in every if actor.environment in ("", one.name)]
    budgets = await in_thread(context.store.budgets.of_environments)
    found = [_info(one, apps.get(one.name, 0), budgets.get(one.name)) for one in mine]
    return EnvironmentList(found), b""


async def update_environment(
    actor: Actor, message: UpdateEnvironment, _: bytes, context: Context
) -> tuple[EnvironmentInfo, bytes]:
    """Another name, or another part in web addresses."""
    authorise(actor, "UpdateEnvironment", Target(message.name))
    if message.new_name:
        check_environment_name(message.new_name)
        if message.name == DEFAULT:
            raise Refused("InvalidError", f"{DEFAULT!r} is the default environment and keeps its name")
    if message.web_suffix and not SUFFIX.match(message.web_suffix):
        raise Refused(
            "InvalidError",
            f"web_suffix: expected up to 32 lower-case letters, digits and dashes inside, got {message.web_suffix[:80]!r}",
        )
    check_budget(message.budget)
    try:
        changed = await in_thread(
            context.store.environments.change,
            message.name,
            new_name=message.new_name,
            web_suffix=message.web_suffix,
        )
    except NameTaken as taken:
        raise Refused("AlreadyExistsError", f"another environment has {str(taken)!r} already") from None
    except StillLive as app:
        raise Refused(
            "ConflictError",
            f"environment {message.name!r} has an app that is not stopped ({app}), and its containers know it by this name; "
            "stop its apps first",
        ) from None
    if changed is None:
        raise await _no_environment(message.name, context)
    if message.new_name not in ("", message.name):
        await _cut_off(changed.name, context)
    if message.budget is not None or message.no_budget:
        await in_thread(context.store.budgets.put, changed.name, "", message.budget)
        await context.engine.budget_changed()
    budgets = await in_thread(context.store.budgets.of_environments)
    return _info(changed, budget=budgets.get(changed.name)), b""


async def delete_environment(
    actor: Actor, message: DeleteEnvironment, _: bytes, context: Context
) -> tuple[Done, bytes]:
    """Deletes an environment with all that it has."""
    authorise(actor, "DeleteEnvironment", Target(message.name))
    if message.name == DEFAULT:
        raise Refused("InvalidError", f"{DEFAULT!r} is the default environment and can't be deleted")
    if not await in_thread(context.store.environments.begin_deletion, message.name):
        raise await _no_environment(message.name, context)
    if faults.ARMED:
        faults.reach("environment.marked")
    await delete_all_of(message.name, context)
    await _cut_off(message.name, context)
    return Done(), b""


async def delete_all_of(name: str, context: Context) -> None:
    """Takes a deletion that was begun to its end: this is done again from the start where a server was killed amid it.

    Apps first, so that no container is left that has a volume; then the files, whose names only the store knows; then,
    at once, the rows.
    """
    while True:
        apps = await in_thread(context.store.apps.of_environment, name)
        await asyncio.gather(
            *(
                end_app(app.app_id, f"its environment {name} was deleted", context)
                for app in apps
                if app.state != "stopped"
            )
        )
        if faults.ARMED:
            faults.reach("environment.stopped")
        volumes = await in_thread(context.store.volumes.ids_of, name)
        await in_thread(_remove_folders, context, volumes, [app.app_id for app in apps])
        await in_thread(remove_folder, context.state.build_logs / name)
        for object_id in await in_thread(context.store.objects.ids_of, name):
            await delete_content(object_id, context)
        if faults.ARMED:
            faults.reach("environment.emptied")
        try:
            await in_thread(context.store.environments.end_deletion, name)
            return
        except StillLive:  # it was made at the last moment
            continue


async def _cut_off(name: str, context: Context) -> None:
    """Who came with a token of an environment knows it by the name that it had, and another may take that."""
    for token in await in_thread(context.store.tokens.all):
        if token.environment == name:
            context.engine.cut_off(token.token_id)


def _remove_folders(context: Context, volume_ids: list[str], app_ids: list[str]) -> None:
    volumes = [context.state.volumes / volume_id for volume_id in volume_ids]
    for volume_id in volume_ids:
        context.versions.forget(volume_id)
    for folder in (*volumes, *(context.state.app_logs / app_id for app_id in app_ids)):
        remove_folder(folder)


async def _no_environment(name: str, context: Context) -> Refused:
    there = there_are(name, await in_thread(context.store.environments.names))
    return Refused("NotFoundError", f"there is no environment {name[:80]!r}; {there}")


def _info(environment: Environment, apps: int = 0, budget: float | None = None) -> EnvironmentInfo:
    return EnvironmentInfo(
        environment.environment_id,
        environment.name,
        environment.web_suffix,
        environment.created_at,
        apps,
        budget,
    )
