"""What containers ask of their tunnels."""

from __future__ import annotations

from ionian.protocol.messages import Done
from ionian.protocol.tunnels import (
    CloseTunnel,
    EndConnection,
    GiveData,
    OpenTunnel,
    TakeConnection,
    TakeData,
    TunnelConnection,
    TunnelOpened,
)

from ..auth import Actor
from .context import Context


async def open_tunnel(
    actor: Actor, message: OpenTunnel, _: bytes, context: Context
) -> tuple[TunnelOpened, bytes]:
    """Where a port of the container is reached from here on."""
    return await context.tunnels.open(actor.id, message), b""


async def close_tunnel(actor: Actor, message: CloseTunnel, _: bytes, context: Context) -> tuple[Done, bytes]:
    """The port is not reached any more."""
    context.tunnels.close(actor.id, message.port)
    return Done(), b""


async def take_connection(
    actor: Actor, message: TakeConnection, _: bytes, context: Context
) -> tuple[TunnelConnection, bytes]:
    """The next connection, when there is one."""
    return TunnelConnection(await context.tunnels.next(actor.id, message.port)), b""


async def take_data(actor: Actor, message: TakeData, _: bytes, context: Context) -> tuple[Done, bytes]:
    """What a client has sent, when it has."""
    return Done(), await context.tunnels.take(actor.id, message.connection_id)


async def give_data(actor: Actor, message: GiveData, payload: bytes, context: Context) -> tuple[Done, bytes]:
    """Something for a client."""
    await context.tunnels.give(actor.id, message.connection_id, payload)
    return Done(), b""


async def end_connection(
    actor: Actor, message: EndConnection, _: bytes, context: Context
) -> tuple[Done, bytes]:
    """A connection is over."""
    context.tunnels.end(actor.id, message.connection_id)
    return Done(), b""
