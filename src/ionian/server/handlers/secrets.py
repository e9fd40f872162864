"""Secrets of apps: PutSecret."""

from __future__ import annotations

from ionian.protocol.apps import PutSecret, SecretKept
from ionian.protocol.names import EXPECTED_VARIABLE, is_variable
from ionian.protocol.stream import Refused

from ..auth import Actor
from .apps import app_of
from .context import Context, in_thread

TOTAL_MAX = 64 << 10
"""Bytes of one secret: an environment of a process holds not much more."""


async def put_secret(
    actor: Actor, message: PutSecret, _: bytes, context: Context
) -> tuple[SecretKept, bytes]:
    """Keeps a secret, sealed."""
    app = await app_of(actor, "PutSecret", message.app_id, context)
    if app.state == "stopped":
        raise Refused("ConflictError", f"app {app.name} ({app.app_id}) was stopped; run it again")
    _check(message.values)
    return SecretKept(await in_thread(context.secrets.put, app, message.values)), b""


def _check(values: dict[str, str]) -> None:
    """Refuses what no environment can hold. No message repeats a value."""
    for name, value in values.items():
        if not is_variable(name):
            raise Refused("InvalidError", f"expected {EXPECTED_VARIABLE} in a secret, got {name[:80]!r}")
        if "\0" in value:
            raise Refused("InvalidError", f"expected a value without NUL characters for {name} in a secret")
    total = sum(len(name.encode()) + len(value.encode()) for name, value in values.items())
    if total > TOTAL_MAX:
        raise Refused("InvalidError", f"expected a secret of up to {TOTAL_MAX:,} bytes, got {total:,}")
