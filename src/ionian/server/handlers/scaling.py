"""How many containers a function has: UpdateAutoscaler, GetAutoscaler, GetFunctionStats."""

from __future__ import annotations

from dataclasses import replace

from ionian.protocol.calls import (
    AutoscalerSettings,
    FunctionStats,
    GetAutoscaler,
    GetFunctionStats,
    UpdateAutoscaler,
)
from ionian.protocol.spec import FunctionSpec, Scaling
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..failures import gone
from .context import Context, in_thread
from .specs import check_multiples

LONGEST_WINDOW_S = 3600.0


async def update_autoscaler(
    actor: Actor, message: UpdateAutoscaler, _: bytes, context: Context
) -> tuple[AutoscalerSettings, bytes]:
    """Changes how many containers a function has, until its app is deployed again."""
    app_id = _function(actor, "UpdateAutoscaler", message.function_id, context)[1]
    engine = context.durable.engine
    async with context.app_lock(app_id):
        spec = _function(actor, "UpdateAutoscaler", message.function_id, context)[0]
        scaling = changed(spec.scaling, message)
        _check_budget(engine.server.budgets.over.get(app_id, ""), spec.scaling, scaling)
        check_multiples(spec.tag, spec.cluster_size, scaling)
        # In the store first: what is answered survives a restart.
        await in_thread(context.store.functions.set_scaling, message.function_id, scaling)
        spec.scaling = scaling
        engine.scale(message.function_id)
        engine.pump()
    return AutoscalerSettings(scaling), b""


async def get_autoscaler(
    actor: Actor, message: GetAutoscaler, _: bytes, context: Context
) -> tuple[AutoscalerSettings, bytes]:
    """How many containers a function has, as its definition or the last change says."""
    spec, _app_id = _function(actor, "GetAutoscaler", message.function_id, context)
    return AutoscalerSettings(spec.scaling), b""


def changed(scaling: Scaling, message: UpdateAutoscaler) -> Scaling:
    """The settings with what the message changes. Raises Refused."""
    for name in ("min_containers", "max_containers", "buffer_containers"):
        value = getattr(message, name)
        if value is not None and value < 0:
            raise Refused("InvalidError", f"expected {name} of 0 or more, got {value}")
    window = message.scaledown_window_s
    if window is not None and not 0 < window <= LONGEST_WINDOW_S:
        raise Refused(
            "InvalidError",
            f"expected a scaledown_window above 0 and up to {LONGEST_WINDOW_S:g} s, got {window:g}",
        )
    names = ("min_containers", "max_containers", "buffer_containers", "scaledown_window_s")
    said = {name: value for name in names if (value := getattr(message, name)) is not None}
    new = replace(scaling, **said)
    if new.max_containers and new.min_containers > new.max_containers:
        raise Refused(
            "InvalidError",
            f"expected min_containers of at most max_containers, got {new.min_containers} and {new.max_containers}",
        )
    return new


def _check_budget(why: str, before: Scaling, after: Scaling) -> None:
    """Refuses to keep more containers of an app whose budget is used up; `why`: that it is, or ""."""
    for name in ("min_containers", "buffer_containers"):
        if why and getattr(after, name) > getattr(before, name):
            raise Refused("ResourceExhaustedError", f"{name} can't be raised now: {why}")


async def get_function_stats(
    actor: Actor, message: GetFunctionStats, _: bytes, context: Context
) -> tuple[FunctionStats, bytes]:
    """How a function is doing. Its backlog counts what waits in the store, too."""
    spec, _app_id = _function(actor, "GetFunctionStats", message.function_id, context)
    stats = context.durable.engine.dispatcher.stats(message.function_id)
    if stats is None:
        raise gone(message.function_id)
    stats.containers *= max(1, spec.cluster_size)
    stats.backlog += await context.durable.waiting_in_store(message.function_id)
    return stats, b""


def _function(actor: Actor, action: str, function_id: str, context: Context) -> tuple[FunctionSpec, str]:
    authorise(actor, action, Target())
    found = context.durable.engine.specs.get(function_id)
    if found is None or actor.environment not in ("", found[2]):
        raise gone(function_id)
    return found[0], found[1]
