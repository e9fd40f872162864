"""Names and ids that peers choose, checked where they come in; and the environment that a message means."""

from __future__ import annotations

import re

from ionian.protocol.stream import Refused

from ..auth import Actor
from .context import Context, in_thread

NAME = re.compile(r"[A-Za-z0-9._-]{1,64}\Z")
ID = re.compile(r"[0-9A-HJKMNP-TV-Z]{26}\Z")


def check_name(kind: str, name: str) -> None:
    """Refuses what is no name of an app, volume or environment."""
    if not NAME.match(name):
        raise Refused(
            "InvalidError",
            f"expected a name of 1 to 64 letters, digits, dots, dashes and underscores for {kind}, got {name[:80]!r}",
        )


def check_id(prefix: str, value: str) -> None:
    """Refuses what is no id of this prefix with a ULID."""
    if value[:3] != f"{prefix}-" or not ID.match(value[3:]):
        raise Refused(
            "InvalidError", f"expected an id like {prefix}-01JD… with 26 characters, got {value[:80]!r}"
        )


async def environment_of(actor: Actor, named: str, context: Context) -> str:
    """The environment that a message names, else the actor's own, else main. Refuses one that is not there."""
    environment = named or actor.environment or "main"
    if not await in_thread(context.store.environments.exists, environment):
        names = ", ".join(await in_thread(context.store.environments.names))
        raise Refused("NotFoundError", f"there is no environment {environment[:80]!r}; there are: {names}")
    return environment
