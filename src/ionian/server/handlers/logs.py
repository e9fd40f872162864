"""What containers wrote: ReadLogs."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from ionian.protocol.apps import LogLines, ReadLogs
from ionian.protocol.clusters import first_of
from ionian.protocol.stream import Refused
from ionian.protocol.tags import method_service_tag, service_tag

from ..auth import Actor, Target, authorise
from ..logfiles import Position, Query
from ..store.call_rows import CallRow
from ..store.schema import App
from .apps import app_of, function_of
from .containers import no_container
from .context import Context, in_thread

WAIT_MAX_S = 60.0

CALL_WAIT_S = 1.0
"""Of a call: nothing says that it has ended, so it is looked again for who follows it."""


async def read_logs(actor: Actor, message: ReadLogs, _: bytes, context: Context) -> tuple[LogLines, bytes]:
    """Lines of an app, a function, a call or a container. With a cursor: those behind it, or the next ones, if it is
    not over."""
    app_id, tag = message.app_id, message.function
    if message.function_id:
        app_id, tag = await function_of(actor, "ReadLogs", message.function_id, context)
    elif not app_id and message.call_id:
        app_id = await _app_of_call(actor, message.call_id, context)
    elif not app_id:
        app_id = await _app_of_container(actor, message.container_id, context)
    app = await app_of(actor, "ReadLogs", app_id, context)
    query = _query(message, time.time())
    query.function = await _function(app, tag, context)
    over = _over(app.app_id, message, context)
    if not message.cursor:
        ended = await over()
        found = await context.logbook.read(app.app_id, query)
        return LogLines(found.lines, str(found.position), found.more, ended and not found.more), b""
    try:
        position = Position.parse(message.cursor)
    except ValueError as error:
        raise Refused("InvalidError", f"cursor: {error}") from None
    patience_s = min(max(message.wait_s, 0.0), CALL_WAIT_S if message.call_id else WAIT_MAX_S)
    found, ended = await context.logbook.wait(app.app_id, query, position, patience_s, over)
    return LogLines(found.lines, str(found.position), found.more, ended and not found.more), b""


async def _function(app: App, named: str, context: Context) -> str:
    """The tag that is meant: a class by its name, or by one of its methods, which share its containers."""
    tags = await in_thread(context.store.functions.tags, app.app_id)
    for tag in (named, service_tag(named), method_service_tag(named)):
        if not named or tag in tags:
            return tag
    if (await context.logbook.read(app.app_id, Query(function=named, tail=1))).lines:
        return named  # of an earlier version
    raise Refused(
        "NotFoundError",
        f"app {app.name} has no function or class {named[:80]!r}; there are: {', '.join(sorted(tags)) or 'none'}",
    )


def _query(message: ReadLogs, now: float) -> Query:
    if message.tail < 0 or message.since_s < 0 or message.until_s < 0:
        raise Refused("InvalidError", "tail, since_s, until_s: expected 0 or more")
    following = bool(message.cursor)
    return Query(
        container_id=message.container_id,
        call_id=message.call_id,
        index=message.index,
        fd=message.fd,
        text=message.grep,
        since=0.0 if following else _time(message.since_at, message.since_s, now),
        until=_time(message.until_at, message.until_s, now),
        tail=0 if following else message.tail,
    )


def _time(at: float, ago_s: float, now: float) -> float:
    return at or (now - ago_s if ago_s else 0.0)


def _over(app_id: str, message: ReadLogs, context: Context) -> Callable[[], Awaitable[bool]]:
    """Whether nothing more will be written."""
    container_id = message.container_id

    async def over() -> bool:
        engine = context.engine
        if message.call_id and not await _goes_on(message.call_id, context):
            return True
        if container_id and engine.environment_of_container(container_id) is None and engine.knows_containers:
            return True
        app = await in_thread(context.store.apps.find, app_id)
        return app is None or (app.state == "stopped" and not context.engine.containers_of(app_id))

    return over


async def _goes_on(call_id: str, context: Context) -> bool:
    """Whether a call has inputs without a result. Of one that is unknown here its caller tells soon, after a start."""
    if context.engine.app_of_call(call_id):
        return True
    found = await context.durable.outputs.find(call_id)
    return found is not None and (not isinstance(found, CallRow) or found.finished_at is None)


async def _app_of_call(actor: Actor, call_id: str, context: Context) -> str:
    """The app of a call that goes on, or that the store keeps."""
    authorise(actor, "ReadLogs", Target(app_id=actor.app_id))
    app_id = context.engine.app_of_call(call_id)
    if not app_id and (found := await context.durable.outputs.find(call_id)) is not None:
        app_id = found.app_id
    app = await in_thread(context.store.apps.find, app_id) if app_id else None
    if app is None or actor.environment not in ("", app.environment):
        raise Refused(
            "NotFoundError",
            f"there is no call {call_id[:80]!r} that goes on or that is kept; of one that was not spawned and has ended "
            "the app has the lines: `ionian app logs APP --call CALL`",
        )
    return app_id


async def _app_of_container(actor: Actor, container_id: str, context: Context) -> str:
    """The app of a container that is there, or was."""
    if not container_id:
        raise Refused("InvalidError", "app_id: expected an app or a container, got neither")
    authorise(actor, "ReadLogs", Target(app_id=actor.app_id))
    here = context.engine.app_of_container(container_id)
    app_id = here or await in_thread(context.store.usage.app_of_container, first_of(container_id))
    if not app_id:
        raise no_container(container_id, actor, context)
    return app_id
