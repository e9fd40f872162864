"""Apps by name, and the versions of deployed ones: FindApp, ListApps, AppHistory, RollbackApp."""

from __future__ import annotations

import json

from ionian.protocol.apps import (
    AppCreated,
    AppHistory,
    AppInfo,
    AppList,
    AppRolled,
    AppTags,
    AppVersion,
    AppVersions,
    Deploy,
    FindApp,
    ListApps,
    RollbackApp,
    TagApp,
)
from ionian.protocol.ids import new_id
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..store.functions import AppIsOver
from ..store.schema import App, Version
from ..store.versions import NoSuchVersion
from .apps import app_of, described, over
from .context import Context, in_thread
from .names import check_name, check_tags, environment_of, there_are


async def find_app(actor: Actor, message: FindApp, _: bytes, context: Context) -> tuple[AppCreated, bytes]:
    """An app by its id, or one that is not stopped by its name: the deployed one, else the newest."""
    if message.name.startswith("ap-"):
        return await described(await app_of(actor, "FindApp", message.name, context), context), b""
    authorise(actor, "FindApp", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    apps = [
        app
        for app in await in_thread(context.store.apps.live_named, environment, message.name)
        if app.state != "initializing"
    ]
    if message.create and (not apps or apps[0].state != "deployed"):
        return await described(await _empty(message.name, environment, context), context), b""
    if not apps:
        raise await no_app(message.name, environment, context)
    return await described(apps[0], context), b""


async def _empty(name: str, environment: str, context: Context) -> App:
    """A deployed app without functions."""
    check_name("an app", name)
    app = await in_thread(context.store.apps.deployed, new_id("ap"), environment=environment, name=name)
    async with context.app_lock(app.app_id):
        if app.version == 0:
            app = (await in_thread(context.store.versions.publish, app.app_id, [], Deploy(), set())).app
    return app


async def no_app(name: str, environment: str, context: Context) -> Refused:
    """Says that there is no app of this name, and which there are."""
    apps = await in_thread(context.store.apps.listed, environment, stopped=False)
    names = there_are(name, sorted({app.name for app in apps}))
    return Refused(
        "NotFoundError",
        f"app {name[:80]!r} is neither deployed nor running in environment {environment!r}; {names}",
    )


async def list_apps(actor: Actor, message: ListApps, _: bytes, context: Context) -> tuple[AppList, bytes]:
    """The apps of an environment."""
    authorise(actor, "ListApps", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    apps = await in_thread(context.store.apps.listed, environment, stopped=message.stopped)
    times = await in_thread(context.store.schedules.next_of, [app.app_id for app in apps])
    return AppList([info(app, times.get(app.app_id, 0.0), context) for app in apps]), b""


def info(app: App, next_run_at: float, context: Context) -> AppInfo:
    """An app as lists have it."""
    return AppInfo(
        app.app_id,
        app.name,
        app.state,  # type: ignore[arg-type]
        app.environment,
        containers=context.engine.containers_of(app.app_id),
        created_at=app.created_at,
        stopped_at=app.stopped_at or 0.0,
        version=app.version,
        deployed_at=app.deployed_at or 0.0,
        next_run_at=next_run_at if app.state == "deployed" else 0.0,
        tags=json.loads(app.tags),
        reason=app.reason,
    )


async def tag_app(actor: Actor, message: TagApp, _: bytes, context: Context) -> tuple[AppTags, bytes]:
    """The tags of an app, changed where the message has some."""
    app = await app_of(actor, "TagApp", message.app_id, context)
    if message.tags is None:
        return AppTags(json.loads(app.tags)), b""
    if app.state == "stopped":
        raise over(app)
    check_tags(message.tags)
    async with context.app_lock(app.app_id):
        await in_thread(context.store.apps.tag, app.app_id, message.tags)
    return AppTags(message.tags), b""


async def app_history(
    actor: Actor, message: AppHistory, _: bytes, context: Context
) -> tuple[AppVersions, bytes]:
    """The versions of a deployed app."""
    app = await app_of(actor, "AppHistory", message.app_id, context)
    _check_deployed(app)
    versions = await in_thread(context.store.versions.of, app.app_id)
    return AppVersions([_version(version) for version in versions]), b""


def _version(row: Version) -> AppVersion:
    return AppVersion(
        row.number, row.deployed_at, row.tag, row.client_version, row.commit, row.user, row.from_version
    )


async def rollback_app(
    actor: Actor, message: RollbackApp, _: bytes, context: Context
) -> tuple[AppRolled, bytes]:
    """Makes an earlier version the newest, or replaces the containers of the one that runs."""
    app = await app_of(actor, "RollbackApp", message.app_id, context)
    async with context.app_lock(app.app_id):
        app = await app_of(actor, "RollbackApp", message.app_id, context)  # as it is now
        _check_deployed(app)
        wanted = message.version if message.version > 0 else app.version + message.version
        try:
            done = await in_thread(context.store.versions.bring_back, app.app_id, wanted, message.strategy)
        except AppIsOver:
            raise over(app) from None
        except NoSuchVersion:
            raise await no_version(app, message.version, context) from None
        change = context.engine.roll if wanted == app.version else context.engine.publish
        with context.telling(app.app_id):
            await change(done.app, done.specs, recreate=message.strategy == "recreate")
    return AppRolled(done.app.version, wanted), b""


async def no_version(app: App, wanted: int, context: Context) -> Refused:
    """Says that an app has no such version, and which it has."""
    versions = [version.number for version in await in_thread(context.store.versions.of, app.app_id)]
    if wanted == -1 and len(versions) == 1:
        return Refused("NotFoundError", f"app {app.name} has one version only; there is none before it")
    named = f"v{wanted}" if wanted > 0 else f"{-wanted} versions back"
    there = f"v{versions[-1]} to v{versions[0]}" if len(versions) > 1 else f"v{versions[0]} only"
    return Refused("NotFoundError", f"app {app.name} has no version {named}; it has {there}")


def _check_deployed(app: App) -> None:
    if app.state == "stopped":
        raise over(app)
    if app.state != "deployed":
        raise Refused(
            "InvalidError",
            f"app {app.name} ({app.app_id}) is not deployed but {app.state}: it has no versions",
        )
