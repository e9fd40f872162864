"""Functions by name: FindFunction."""

from __future__ import annotations

from ionian.protocol.calls import FindFunction, FoundFunction
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..store.schema import App
from .context import Context, in_thread
from .names import environment_of


async def find_function(
    actor: Actor, message: FindFunction, _: bytes, context: Context
) -> tuple[FoundFunction, bytes]:
    """A function of a running app; of several apps of one name, of the one that was started last."""
    authorise(actor, "FindFunction", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    if not message.app:
        apps = await in_thread(_own_app, actor, context)
    else:
        apps = await in_thread(context.store.apps.live_named, environment, message.app)
    for app in apps:
        spec = await in_thread(context.store.functions.tagged, app.app_id, message.tag)
        if spec is not None:
            return FoundFunction(spec.function_id, app.app_id, spec.is_generator), b""
    raise await in_thread(_not_found, message, environment, apps, context)


def _own_app(actor: Actor, context: Context) -> list[App]:
    if actor.kind != "container":
        raise Refused("InvalidError", "expected the name of an app; only a container has an app of its own")
    app = context.store.apps.find(actor.app_id)
    return [] if app is None else [app]


def _not_found(message: FindFunction, environment: str, apps: list[App], context: Context) -> Refused:
    if not apps:
        what = f"app {message.app[:80]!r} is not running in environment {environment!r}"
        return Refused("NotFoundError", f"{what}; start it first")
    tags = ", ".join(context.store.functions.tags(apps[0].app_id)) or "none"
    return Refused(
        "NotFoundError", f"app {apps[0].name!r} has no function {message.tag[:80]!r}; its functions: {tags}"
    )
