"""Functions by name, and variants of them: FindFunction, BindFunction."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from ionian.protocol.calls import (
    BindFunction,
    DescribeFunction,
    FindFunction,
    FoundFunction,
    FunctionDescription,
)
from ionian.protocol.clusters import share_of, whole_resources
from ionian.protocol.spec import FunctionSpec, Overrides
from ionian.protocol.stream import Refused
from ionian.protocol.tags import service_tag, shown
from ionian.protocol.variants import combine, variant_id, vary

from ..auth import Actor, Target, authorise
from ..failures import gone
from ..store.schema import App
from ..store.variants import VariantOf
from .context import Context, in_thread
from .deploys import no_app
from .names import environment_of, there_are
from .pinned import pinned
from .specs import check_references, check_spec

log = logging.getLogger("ionian.server")


async def find_function(
    actor: Actor, message: FindFunction, _: bytes, context: Context
) -> tuple[FoundFunction, bytes]:
    """A function or class of an app: of the deployed one of that name, else of the one that was started last."""
    authorise(actor, "FindFunction", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    version = message.version
    if not message.app:
        apps = await in_thread(_own_app, actor, context)
        version = context.engine.pinned_version(actor.id)
    else:
        apps = await in_thread(context.store.apps.live_named, environment, message.app)
    if version:
        deployed = next((app for app in apps if app.state == "deployed"), None)
        if deployed is None:
            raise Refused(
                "NotFoundError",
                f"app {message.app[:80]!r} is not deployed in environment {environment!r}, and so has no version "
                f"{version}",
            )
        return _found(deployed, await pinned(deployed, message.tag, version, context)), b""
    for app in apps:
        spec = await in_thread(_tagged, app, message.tag, context)
        if spec is not None:
            return _found(app, spec), b""
    raise await _not_found(message, environment, apps, context)


def _tagged(app: App, tag: str, context: Context) -> FunctionSpec | None:
    """A class is found by its own name, too."""
    functions = context.store.functions
    return functions.tagged(app.app_id, tag) or functions.tagged(app.app_id, service_tag(tag))


def _found(app: App, spec: FunctionSpec) -> FoundFunction:
    kind = spec.class_spec
    return FoundFunction(
        spec.function_id,
        app.app_id,
        spec.is_generator,
        tag=spec.tag,
        is_class=kind is not None,
        methods=[] if kind is None else kind.methods,
        parameters=[] if kind is None else kind.parameters,
        app_name=app.name,
        environment=app.environment,
    )


def _own_app(actor: Actor, context: Context) -> list[App]:
    if actor.kind != "container":
        raise Refused("InvalidError", "expected the name of an app; only a container has an app of its own")
    app = context.store.apps.find(actor.app_id)
    return [] if app is None else [app]


async def _not_found(message: FindFunction, environment: str, apps: list[App], context: Context) -> Refused:
    there = [app for app in apps if app.state != "initializing"]
    if not there:
        return await no_app(message.app, environment, context)
    tags = await in_thread(context.store.functions.tags, there[0].app_id)
    names = there_are(message.tag, [shown(tag) for tag in tags])
    return Refused(
        "NotFoundError", f"app {there[0].name!r} has no function or class {message.tag[:80]!r}; {names}"
    )


async def describe_function(
    actor: Actor, message: DescribeFunction, _: bytes, context: Context
) -> tuple[FunctionDescription, bytes]:
    """What a function, or a variant of one, stands on."""
    app, base, overrides = await _base(actor, "DescribeFunction", message.function_id, context)
    spec = base if overrides is None else vary(base, overrides)
    return FunctionDescription(
        spec.function_id, app.app_id, app.environment, spec.resources, spec.scaling
    ), b""


async def bind_function(
    actor: Actor, message: BindFunction, _: bytes, context: Context
) -> tuple[FoundFunction, bytes]:
    """A variant of a function, made where it is missing. A variant of a variant is one of the function itself."""
    app, base, earlier = await _base(actor, "BindFunction", message.function_id, context)
    overrides = message.overrides if earlier is None else combine(earlier, message.overrides)
    if overrides == Overrides():
        return _found(app, base), b""
    if overrides.arguments is not None and base.class_spec is None:
        raise Refused("InvalidError", f"{base.tag} is a function, and takes no parameters of a class")
    check_spec(vary(base, overrides))
    if overrides.resources is not None:
        size, asked = max(1, base.cluster_size), overrides.resources
        given = await context.engine.fitted(base.tag, whole_resources(asked, size))
        overrides.resources = share_of(given, asked, size)
    spec = vary(base, overrides)
    await in_thread(check_references, app, [spec], context, actor)
    async with context.app_lock(app.app_id):
        await _keep(app, base.function_id, overrides, context)
    return _found(app, spec), b""


async def _base(
    actor: Actor, action: str, function_id: str, context: Context
) -> tuple[App, FunctionSpec, Overrides | None]:
    """The app and the function of an id; of a variant, the function that it varies, and how. Raises Refused."""
    varied = await in_thread(context.store.variants.find, function_id)
    found = await in_thread(of_id, function_id, varied, context)
    authorise(actor, action, Target() if found is None else Target(found[0].environment, found[0].app_id))
    if found is None or found[0].state == "stopped":
        raise gone(function_id)
    return *found, None if varied is None else varied.overrides


def of_id(function_id: str, varied: VariantOf | None, context: Context) -> tuple[App, FunctionSpec] | None:
    """The function, or what a variant varies: of the app's version, where it is of a certain one. Blocks."""
    if varied is None:
        return context.store.functions.find(function_id)
    if varied.overrides.version is None:
        return context.store.functions.find(varied.base_id)
    app = context.store.apps.find(varied.app_id)
    specs = context.store.versions.functions(varied.app_id, varied.overrides.version) or {}
    base = specs.get(varied.base_id)
    return None if app is None or base is None else (app, base)


async def _keep(app: App, base_id: str, overrides: Overrides, context: Context) -> None:
    """Looks once more, under the lock: meanwhile the app may have been stopped, or deployed anew."""
    now = await in_thread(of_id, base_id, VariantOf(base_id, app.app_id, overrides), context)
    if now is None or now[0].state == "stopped":
        raise Refused(
            "NotFoundError", f"app {app.name} was stopped or deployed anew; look the function up again"
        )
    scaling = await in_thread(
        context.store.variants.put,
        variant_id(base_id, overrides),
        base_id=base_id,
        app_id=app.app_id,
        overrides=overrides,
    )
    spec = vary(now[1], overrides)
    spec.scaling = scaling or spec.scaling
    await context.engine.add(now[0], [spec])


def variants_of(app: App, specs: Sequence[FunctionSpec], context: Context) -> list[FunctionSpec]:
    """The variants of these functions that were asked for before, made from what the functions are now. Blocks.

    One that can't be any more is left out: a call of it then fails, and whoever asks for it anew is told why.
    """
    bases: dict[int | None, dict[str, FunctionSpec]] = {None: {spec.function_id: spec for spec in specs}}
    made: list[FunctionSpec] = []
    for base_id, overrides, scaling in context.store.variants.of(app.app_id):
        if overrides.version not in bases:
            bases[overrides.version] = (
                context.store.versions.functions(app.app_id, overrides.version or 0) or {}
            )
        base = bases[overrides.version].get(base_id)
        if base is not None:
            spec = vary(base, overrides)
            spec.scaling = scaling or spec.scaling
            made.append(spec)
    try:
        check_references(app, made, context)  # together: a class may have a variant for each of many users
    except Refused:
        return [spec for spec in made if _is_good(app, spec, context, references=True)]
    return [spec for spec in made if _is_good(app, spec, context)]


def _is_good(app: App, spec: FunctionSpec, context: Context, *, references: bool = False) -> bool:
    """Whether a variant can run; says what hinders it."""
    try:
        check_spec(spec)
        if references:
            check_references(app, [spec], context)
    except Refused as refused:
        log.warning("variant=%s of function=%s: %s", spec.function_id, spec.base_id, refused.message)
        return False
    return True
