"""The variants of a function: ListVariants."""

from __future__ import annotations

from dataclasses import replace

from ionian.protocol.statistics import InspectFunction, ListVariants, VariantList, VariantListed
from ionian.protocol.variants import variant_id

from ..auth import Actor
from .context import Context, in_thread
from .statistics import function_measured, inspect_function


async def list_variants(
    actor: Actor, message: ListVariants, _: bytes, context: Context
) -> tuple[VariantList, bytes]:
    """Those that were ever asked for, the busiest first."""
    app, spec = await function_measured(actor, "ListVariants", message.function_id, context)
    base_id = spec.base_id or spec.function_id
    base, _ = await inspect_function(actor, InspectFunction(base_id), b"", context)
    listed: list[VariantListed] = []
    for of, overrides, scaling in await in_thread(context.store.variants.of, app.app_id):
        if of != base_id:
            continue
        function_id = variant_id(base_id, overrides)
        state = context.durable.engine.dispatcher.state_of(function_id)
        shown = replace(overrides, env=None if overrides.env is None else dict.fromkeys(overrides.env, ""))
        if scaling is not None:
            shown.scaling = scaling
        listed.append(VariantListed(function_id, shown, state.containers if state is not None else 0))
    listed.sort(key=lambda one: (-one.containers, one.function_id))
    return VariantList(base, listed[: message.limit or None]), b""
