"""What apps and functions are and did: DescribeApp, MeasureApp, InspectFunction, MeasureFunction."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import replace

from ionian.protocol.spec import FunctionSpec, ImageSpec
from ionian.protocol.statistics import (
    AppDescription,
    AppMeasured,
    DescribeApp,
    Distribution,
    FunctionCounts,
    FunctionInspected,
    FunctionMeasured,
    InspectFunction,
    MeasureApp,
    MeasureFunction,
)
from ionian.protocol.stream import Refused
from ionian.protocol.variants import vary

from ..auth import Actor, Target, authorise
from ..container_counts import QUARTER_MIN
from ..containers import Container
from ..counts import MINUTE_S
from ..durations import merged, percentiles
from ..failures import gone
from ..store.counts import Counted
from ..store.schema import App
from ..store.usage import Ended
from .apps import app_of
from .context import Context, in_thread
from .functions import of_id

LONGEST_S = 7 * 24 * 3600.0 + MINUTE_S
"""Statistics are of so long a time at most; a little more than is said, as clocks differ."""

SHOWN = (50.0, 90.0, 99.0)
"""The percentiles of distributions."""


async def describe_app(
    actor: Actor, message: DescribeApp, _: bytes, context: Context
) -> tuple[AppDescription, bytes]:
    """What an app is."""
    app = await app_of(actor, "DescribeApp", message.app_id, context)
    return await in_thread(_description, app, context), b""


def _description(app: App, context: Context) -> AppDescription:
    """Who deployed it is known of the versions that are kept."""
    versions = context.store.versions.of(app.app_id)
    first = versions[-1] if versions and versions[-1].number == 1 else None
    return AppDescription(
        app.app_id,
        app.name,
        app.environment,
        app.state,
        app.version,
        app.created_at,
        first.user if first is not None else "",
        app.deployed_at or 0.0,
        versions[0].user if versions else "",
        app.stopped_at or 0.0,
        app.reason,
        context.store.functions.tags(app.app_id),
    )


async def measure_app(
    actor: Actor, message: MeasureApp, _: bytes, context: Context
) -> tuple[AppMeasured, bytes]:
    """What each function of an app did, its variants included."""
    app = await app_of(actor, "MeasureApp", message.app_id, context)
    _check(message.since_at, message.until_at)
    await context.durable.engine.counts.write()
    since, until = _minutes(message.since_at, message.until_at)
    sums = await in_thread(context.store.counts.sums, since, until, app.app_id)
    roots = await in_thread(context.store.counts.roots, app_id=app.app_id)
    ended = await in_thread(context.store.usage.there, message.since_at, message.until_at, app_id=app.app_id)
    description = await in_thread(_description, app, context)
    found = AppMeasured(description)
    found.deployments = sum(
        message.since_at <= version.deployed_at < message.until_at
        for version in await in_thread(context.store.versions.of, app.app_id)
    )
    there = [
        *(one.function_id for one in ended),
        *(one.function_id for one in _live(message, context) if one.app_id == app.app_id),
    ]
    for tag, function_id in description.functions.items():
        own = [one for one in sums if one.root_id == function_id]
        found.functions.append(
            FunctionCounts(
                tag,
                function_id,
                sum(one.succeeded for one in own),
                sum(one.failed + one.timed_out for one in own),
                sum(roots.get(one, _root(one, context)) == function_id for one in there),
                sum(one.container_errors for one in own),
                sum(one.cancelled for one in own),
            )
        )
    return found, b""


def _root(function_id: str, context: Context) -> str:
    """The function itself, of a variant that has done nothing yet."""
    found = context.durable.engine.specs.get(function_id)
    return (found[0].base_id if found is not None else "") or function_id


async def inspect_function(
    actor: Actor, message: InspectFunction, _: bytes, context: Context
) -> tuple[FunctionInspected, bytes]:
    """What a function is, as it runs now."""
    app, spec = await function_measured(actor, "InspectFunction", message.function_id, context)
    running = context.durable.engine.specs.get(message.function_id)
    if running is not None:
        spec = running[0]
    mounted = {mount.volume_id for mount in spec.volumes}
    names = await in_thread(_names, mounted, context)
    routes = context.web.addresses.of_function(spec.base_id or spec.function_id)
    urls = {route.method: context.web.urls(route) for route in routes}
    bare = replace(spec, image=ImageSpec(), mounts=[], env={}, serialized="")
    return FunctionInspected(app.app_id, app.name, app.environment, bare, urls, names), b""


def _names(volume_ids: Iterable[str], context: Context) -> dict[str, str]:
    rows = [context.store.objects.by_id(volume_id) for volume_id in volume_ids]
    return {row.object_id: row.name for row in rows if row is not None and row.name}


async def measure_function(
    actor: Actor, message: MeasureFunction, _: bytes, context: Context
) -> tuple[FunctionMeasured, bytes]:
    """What a function did."""
    app, spec = await function_measured(actor, "MeasureFunction", message.function_id, context)
    _check(message.since_at, message.until_at)
    engine = context.durable.engine
    await engine.counts.write(containers=bool(message.container_id))
    root = spec.base_id or spec.function_id
    if message.container_id:
        return await _measure_container(message, app, root, context), b""
    which = {"root_id": root} if message.all_variants else {"function_id": message.function_id}
    since, until = _minutes(message.since_at, message.until_at)
    rows = await in_thread(context.store.counts.of, since, until, **which)
    roots = await in_thread(context.store.counts.roots, app_id=app.app_id)
    ids = {message.function_id}
    if message.all_variants:
        ids |= {function_id for function_id, of in roots.items() if of == root} | {root}
    ended = [
        one
        for one in await in_thread(
            context.store.usage.there, message.since_at, message.until_at, app_id=app.app_id
        )
        if one.function_id in ids
    ]
    live = [one for one in _live(message, context) if one.function_id in ids]
    found = _summed(message.function_id, rows)
    found.containers = len(ended) + len(live)
    found.inputs, found.of_containers = _inputs(rows), _of_containers(rows, ended)
    if not spec.base_id:
        found.variants = await in_thread(context.store.variants.count, app.app_id, root)
    if until * MINUTE_S > time.time():  # the end of the time is now
        states = [engine.dispatcher.state_of(function_id) for function_id in ids]
        found.running = sum(state.running for state in states if state is not None)
        found.creating = sum(state.starting for state in states if state is not None)
    else:
        found.running = sum(row.running for row in rows if row.minute == until - 1)
        found.creating = sum(row.creating for row in rows if row.minute == until - 1)
    return found, b""


async def _measure_container(
    message: MeasureFunction, app: App, root: str, context: Context
) -> FunctionMeasured:
    """What a container of a function, or of a variant of it, did."""
    engine, container_id = context.durable.engine, message.container_id
    live = engine.containers.find(container_id)
    ended = None if live is not None else await in_thread(context.store.usage.ended, container_id)
    roots = await in_thread(context.store.counts.roots, app_id=app.app_id)
    there = live or ended
    if there is None or root not in (roots.get(there.function_id), _root(there.function_id, context)):
        raise Refused("NotFoundError", f"container: the function has, and had, no {container_id[:80]!r}")
    since, until = _minutes(message.since_at, message.until_at)
    quarter = since // QUARTER_MIN * QUARTER_MIN
    rows = await in_thread(context.store.counts.of, quarter, until, function_id=container_id)
    found = _summed(message.function_id, rows)
    if live is not None:
        begun_at, ended_at = time.time() - (time.monotonic() - live.since), time.time()
    else:
        assert ended is not None
        begun_at, ended_at = ended.ended_at - ended.wall_s, ended.ended_at
    found.started = int(message.since_at <= begun_at < message.until_at)
    found.containers = int(begun_at < message.until_at and ended_at >= message.since_at)
    used = [ended] if ended is not None and found.containers else []
    found.inputs, found.of_containers = _inputs(rows), _of_containers(rows, used)
    if live is not None and until * MINUTE_S > time.time():
        listed = context.engine.roster(app.environment, app.app_id)
        found.running = sum(one.inputs for one in listed if one.container_id == container_id)
        found.creating = int(live.start is None)
    return found


def _summed(function_id: str, rows: Sequence[Counted]) -> FunctionMeasured:
    return FunctionMeasured(
        function_id,
        sum(row.succeeded for row in rows),
        sum(row.failed for row in rows),
        sum(row.timed_out for row in rows),
        sum(row.cancelled for row in rows),
        started=sum(row.started for row in rows),
        container_errors=sum(row.container_errors for row in rows),
    )


def _inputs(rows: Sequence[Counted]) -> list[Distribution]:
    return _known(
        _durations("Execution time (s)", (row.run for row in rows)),
        _durations("End-to-end latency (s)", (row.latency for row in rows)),
    )


def _of_containers(rows: Sequence[Counted], ended: Sequence[Ended]) -> list[Distribution]:
    """The start of those that started, and what those used that ended."""
    lasting = [one for one in ended if one.wall_s > 0]
    return _known(
        _durations("Startup time (s)", (row.startup for row in rows)),
        _values("CPU Usage (cores)", "cores", [one.cpu_s / one.wall_s for one in lasting]),
        _values("Memory Usage (GiB)", "GiB", [one.memory_gib_s / one.wall_s for one in lasting]),
    )


def _known(*found: Distribution) -> list[Distribution]:
    return [one for one in found if one.percentiles]


def _durations(name: str, histograms: Iterable[dict[int, int]]) -> Distribution:
    found = percentiles(merged(histograms), SHOWN)
    return Distribution(name, "s", {f"{place:g}": value for place, value in found.items()})


def _values(name: str, unit: str, values: Sequence[float]) -> Distribution:
    ordered = sorted(values)
    places = {place: min(len(ordered) - 1, int(len(ordered) * place / 100)) for place in SHOWN}
    known = {f"{place:g}": ordered[at] for place, at in places.items()} if ordered else {}
    return Distribution(name, unit, known)


async def function_measured(
    actor: Actor, action: str, function_id: str, context: Context
) -> tuple[App, FunctionSpec]:
    """A function, or a variant of one, of an app that may have been stopped."""
    varied = await in_thread(context.store.variants.find, function_id)
    found = await in_thread(of_id, function_id, varied, context)
    authorise(actor, action, Target() if found is None else Target(found[0].environment, found[0].app_id))
    if found is None:
        raise gone(function_id)
    app, base = found
    return app, base if varied is None else vary(base, varied.overrides)


def _live(message: MeasureApp | MeasureFunction, context: Context) -> list[Container]:
    """The containers that are there, and were at some moment between the two times."""
    begun_by = time.monotonic() - (time.time() - message.until_at)
    there = context.durable.engine.containers.all()
    return [one for one in there if not one.guest and one.since < begun_by]


def _minutes(since_at: float, until_at: float) -> tuple[int, int]:
    """The minutes of which a part lies between two times."""
    return int(since_at // MINUTE_S), int(-(-until_at // MINUTE_S))


def _check(since_at: float, until_at: float) -> None:
    if not since_at < until_at <= since_at + LONGEST_S:
        raise Refused(
            "InvalidError", "since, until: expected a time before another, and at most 7 days between them"
        )
