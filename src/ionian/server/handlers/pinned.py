"""Functions of one version of a deployed app: what is called through them runs as it was then, whatever is deployed later."""

from __future__ import annotations

from ionian.protocol.spec import FunctionSpec, Overrides
from ionian.protocol.stream import Refused
from ionian.protocol.tags import service_tag, shown
from ionian.protocol.variants import vary

from ..store.schema import App
from .context import Context, in_thread
from .deploys import no_version
from .names import there_are
from .specs import check_references, check_spec


async def pinned(app: App, tag: str, version: int, context: Context) -> FunctionSpec:
    """The function of a version, as a variant of what it is now. Its calls stay in that version: all of the version's
    functions have such a variant from here on. Raises Refused."""
    async with context.app_lock(app.app_id):
        specs = await in_thread(context.store.versions.functions, app.app_id, version)
        if specs is None:
            raise await no_version(app, version, context)
        overrides = Overrides(version=version)
        made = {spec.tag: vary(spec, overrides) for spec in specs.values()}
        found = made.get(tag) or made.get(service_tag(tag))
        if found is None:
            names = there_are(tag, [shown(each) for each in made])
            raise Refused(
                "NotFoundError",
                f"v{version} of app {app.name!r} has no function or class {tag[:80]!r}; {names}",
            )
        for spec in made.values():
            check_spec(spec)
        await in_thread(check_references, app, list(made.values()), context)
        rows = [(spec.function_id, spec.base_id) for spec in made.values()]
        scaled = await in_thread(context.store.variants.put_all, app.app_id, rows, overrides)
        for spec in made.values():
            spec.scaling = scaled.get(spec.function_id) or spec.scaling
        await context.engine.add(app, list(made.values()))
    return found
