"""What containers ask of the terminal of who runs their app."""

from __future__ import annotations

from ionian.protocol.messages import Done
from ionian.protocol.terminals import Interact, Interacting, ReturnTerminal

from ..auth import Actor
from .context import Context


async def interact(actor: Actor, message: Interact, _: bytes, context: Context) -> tuple[Interacting, bytes]:
    """The terminal, when it is there."""
    return await context.terminals.want(actor.id, message), b""


async def return_terminal(
    actor: Actor, message: ReturnTerminal, _: bytes, context: Context
) -> tuple[Done, bytes]:
    """The terminal is its person's again."""
    return await context.terminals.give_back(actor.id, message.exec_id), b""
