"""What containers ask of the web requests that they run, and where web endpoints are reached."""

from __future__ import annotations

from typing import Any

from ionian.protocol.messages import Done
from ionian.protocol.stream import Refused
from ionian.protocol.web import AwaitTaken, Endpoints, FindEndpoint, FindEndpoints, TakePart

from ..auth import Actor
from .apps import app_of
from .context import Context


async def take_part(actor: Actor, message: TakePart, _: bytes, context: Context) -> tuple[Any, bytes]:
    """The next part of a request's body, or message of its WebSocket, when it is there."""
    return await context.web.find(message.call_id, _function_of(actor, context)).take(message.number)


async def await_taken(actor: Actor, message: AwaitTaken, _: bytes, context: Context) -> tuple[Done, bytes]:
    """Comes back when the client has nearly all of a response so far, or has gone."""
    await context.web.find(message.call_id, _function_of(actor, context)).all_taken(message.sent)
    return Done(), b""


async def find_endpoints(
    actor: Actor, message: FindEndpoints, _: bytes, context: Context
) -> tuple[Endpoints, bytes]:
    """The addresses of a function, or of a class's methods; none for what answers no web requests."""
    routes = context.web.addresses.of_function(message.function_id)
    if routes:
        await app_of(actor, "FindEndpoints", routes[0].app_id, context)
    return Endpoints({route.method: context.web.urls(route) for route in routes}), b""


async def find_endpoint(
    actor: Actor, message: FindEndpoint, _: bytes, context: Context
) -> tuple[Done, bytes]:
    """Comes back where a URL is one of a web endpoint that the actor may see."""
    route = context.web.route_at(message.url)
    if route is None:
        raise Refused("NotFoundError", f"{message.url[:200]} is no web endpoint of this server")
    await app_of(actor, "FindEndpoint", route.app_id, context)
    return Done(), b""


def _function_of(actor: Actor, context: Context) -> str:
    function_id = context.engine.function_of_container(actor.id)
    if actor.kind != "container" or not function_id:
        raise Refused(
            "PermissionDeniedError", "only a container may ask for parts of the web requests that it runs"
        )
    return function_id
