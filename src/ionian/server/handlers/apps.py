"""Apps: CreateApp, PublishApp, StopApp."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Sequence

from ionian import faults
from ionian.protocol.apps import AppCreated, AppUsage, CreateApp, Deploy, PublishApp, StopApp
from ionian.protocol.calls import AppFunctions
from ionian.protocol.spec import FunctionSpec, ImageSpec
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..prices import PriceError
from ..store.apps import DEPLOYER
from ..store.functions import AppIsOver, FunctionIdTaken
from ..store.schema import App
from ..store.versions import digests_of
from ..usage_report import cost_of_app
from .budgets import check_budget
from .context import Context, in_thread
from .images import check_images
from .names import check_id, check_name, check_tags, check_version_tag, check_word, environment_of
from .specs import check_references, check_specs

log = logging.getLogger("ionian.server")


async def create_app(
    actor: Actor, message: CreateApp, _: bytes, context: Context
) -> tuple[AppCreated, bytes]:
    """Makes an app, or finds it made by the same client before its connection was lost; for a deploy, finds the
    deployed one of its name, whoever made it."""
    authorise(actor, "CreateApp", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    check_id("ap", message.app_id)
    check_name("an app", message.name)
    check_tags(message.tags)
    if message.deploy:
        app = await in_thread(
            context.store.apps.deployed,
            message.app_id,
            environment=environment,
            name=message.name,
            tags=json.dumps(message.tags),
        )
        return await described(app, context), b""
    app = await in_thread(
        context.store.apps.create,
        message.app_id,
        environment=environment,
        name=message.name,
        detach=message.detach,
        client=actor.id,
        tags=json.dumps(message.tags),
    )
    if (app.environment, app.name, app.client) != (environment, message.name, actor.id):
        raise Refused("AlreadyExistsError", f"app id {message.app_id} belongs to another app; make a new id")
    if app.state == "stopped":
        raise over(app)
    return AppCreated(app.app_id, environment, {}, app.name, app.state), b""  # type: ignore[arg-type]


async def described(app: App, context: Context) -> AppCreated:
    """An app as clients know it."""
    functions = await in_thread(context.store.functions.tags, app.app_id)
    return AppCreated(app.app_id, app.environment, functions, app.name, app.state)  # type: ignore[arg-type]


async def publish_app(
    actor: Actor, message: PublishApp, _: bytes, context: Context
) -> tuple[AppFunctions, bytes]:
    """Takes the functions of an app, after a look at all that they refer to."""
    app = await app_of(actor, "PublishApp", message.app_id, context)
    await in_thread(_check, app, message.functions, context, actor)
    digests = {digest for spec in message.functions for digest in digests_of(spec)}
    if (message.deploy is not None) != (app.client == DEPLOYER):
        raise Refused(
            "InvalidError", f"expected a deploy of a deployed app, or a run of another; {app.name} is none"
        )
    await _set_budget(app, message, context)
    async with context.app_lock(app.app_id):
        try:
            if message.deploy is not None:
                return await _deploy(app, message, message.deploy, digests, context), b""
            app = await in_thread(context.store.functions.publish, app.app_id, message.functions)
        except AppIsOver:
            raise over(app) from None
        except FunctionIdTaken as taken:
            raise Refused(
                "AlreadyExistsError", f"function id {taken} belongs to another app; make a new id"
            ) from None
        await in_thread(context.store.blob_grants.allow, app.app_id, app.environment, digests)
        await context.engine.publish(app, message.functions)
    functions = {spec.tag: spec.function_id for spec in message.functions}
    return AppFunctions(app.app_id, functions, urls=context.web.urls_of(app.app_id)), b""


async def _set_budget(app: App, message: PublishApp, context: Context) -> None:
    if message.budget is None and message.deploy is None:
        return
    check_budget(message.budget)
    await in_thread(context.store.budgets.put, app.environment, app.name, message.budget)


def _check(app: App, specs: Sequence[FunctionSpec], context: Context, actor: Actor) -> None:
    """Refuses functions that can't be. Blocks: an app may have ten thousand, and a schedule takes milliseconds."""
    check_specs(specs)
    check_references(app, specs, context, actor)
    checked: dict[str, ImageSpec] = {}
    for spec in specs:
        if checked.get(spec.image_id) != spec.image:
            check_images(spec.image_id, spec.image, context, actor)
            checked[spec.image_id] = spec.image


async def _deploy(
    app: App, message: PublishApp, deploy: Deploy, digests: set[str], context: Context
) -> AppFunctions:
    """The next version of a deployed app, unless it is what runs."""
    check_version_tag(deploy.tag)
    for name in ("client_version", "commit", "user"):
        check_word(name, getattr(deploy, name))
    check_tags(deploy.tags or {})
    if faults.ARMED:
        faults.reach("deploy.received")
    done = await in_thread(context.store.versions.publish, app.app_id, message.functions, deploy, digests)
    if faults.ARMED:
        faults.reach("deploy.stored")
    if done.changed or app.app_id in context.unheard:
        with context.telling(app.app_id):
            await context.engine.publish(done.app, done.specs, recreate=deploy.strategy == "recreate")
    if faults.ARMED:
        faults.reach("deploy.published")
    functions = {spec.tag: spec.function_id for spec in done.specs}
    due = await in_thread(context.store.schedules.next_by_function, app.app_id)
    next_runs = {tag: due[function_id] for tag, function_id in functions.items() if function_id in due}
    urls = context.web.urls_of(app.app_id)
    return AppFunctions(app.app_id, functions, done.app.version, done.changed, next_runs, urls)


async def stop_app(actor: Actor, message: StopApp, _: bytes, context: Context) -> tuple[AppUsage, bytes]:
    """Ends an app; of a detached one, which runs on, only the session ends, and of a deployed one nothing."""
    app = await app_of(actor, "StopApp", message.app_id, context)
    if message.for_good or (app.state != "detached" and app.client != DEPLOYER):
        await end_app(app.app_id, message.reason or "stopped by its client", context)
    return await in_thread(_usage_of, app.app_id, context), b""


def _usage_of(app_id: str, context: Context) -> AppUsage:
    """What an app used and, where that has a price, cost. Prices that can't be read keep no app from ending."""
    usage = context.store.usage.of_app(app_id)
    try:
        prices = context.prices.sheet()
    except PriceError as error:
        log.warning("no cost of app=%s: %s", app_id, error)
        return usage
    if not prices.is_free:
        usage.cost, usage.currency = cost_of_app(context.store, prices, app_id), prices.currency
    return usage


_ending: set[asyncio.Task[None]] = set()


async def end_app(app_id: str, reason: str, context: Context) -> None:
    """Stops an app whoever wants it, and drops its secrets.

    Whole, though who asked may be gone before it is done: an app that is stopped in the store alone keeps its
    containers.
    """
    task = asyncio.ensure_future(_end_app(app_id, reason, context))
    _ending.add(task)
    task.add_done_callback(_ending.discard)
    await asyncio.shield(task)


async def _end_app(app_id: str, reason: str, context: Context) -> None:
    """In the store first: a restart doesn't revive it."""
    async with context.app_lock(app_id):
        await in_thread(context.store.apps.stop, app_id, reason)
        await context.engine.stop_app(app_id, reason)
        await in_thread(context.store.apps.purge, app_id)


async def app_of(actor: Actor, action: str, app_id: str, context: Context) -> App:
    """The app that a message names, once it is certain that the actor may do this to it."""
    app = await in_thread(context.store.apps.find, app_id)
    authorise(actor, action, Target() if app is None else Target(app.environment, app.app_id))
    if app is None:
        raise Refused(
            "NotFoundError", f"there is no app {app_id[:80]!r}; `ionian app list` shows those there are"
        )
    return app


async def function_of(actor: Actor, action: str, function_id: str, context: Context) -> tuple[str, str]:
    """The app and the tag of a function, or of a variant of one."""
    authorise(actor, action, Target(app_id=actor.app_id))
    varied = await in_thread(context.store.variants.find, function_id)
    found = await in_thread(context.store.functions.find, varied[0] if varied is not None else function_id)
    if found is None or actor.environment not in ("", found[0].environment):
        raise Refused("NotFoundError", f"there is no function {function_id[:80]!r} in any app of this server")
    return found[0].app_id, found[1].tag


def over(app: App) -> Refused:
    """Says that an app was stopped."""
    reason = f" ({app.reason})" if app.reason else ""
    return Refused("ConflictError", f"app {app.name} ({app.app_id}) was stopped{reason}; run it again")
