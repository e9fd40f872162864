"""What users may do in an environment: ListRoles, UpdateRoles. The role is that of their tokens that are for it alone."""

from __future__ import annotations

import time
from collections.abc import Iterable

from ionian.protocol.environment_roles import (
    EnvironmentRole,
    ListRoles,
    RoleList,
    UpdateRoles,
    UserRole,
)
from ionian.protocol.messages import Done
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..roles import NO_ROLE, role_of
from ..store.schema import Token
from .context import Context, in_thread
from .names import environment_of

MODALS: dict[str, EnvironmentRole] = {"admin": "contributor", "member": "contributor", "viewer": "viewer"}
"""Roles of tokens in Modal's words: who has one of a single environment is no admin of the server."""

OURS: dict[EnvironmentRole, str] = {"contributor": "member", "viewer": "viewer", "no-access": NO_ROLE}

RANKS: tuple[EnvironmentRole, ...] = ("no-access", "viewer", "contributor")


async def list_roles(actor: Actor, message: ListRoles, _: bytes, context: Context) -> tuple[RoleList, bytes]:
    """Who comes in by a token of this environment, or of all, and what that lets them do here."""
    authorise(actor, "ListRoles", Target(message.environment))
    name = await environment_of(actor, message.environment, context)
    found: dict[str, UserRole] = {}
    for token in _good(await in_thread(context.store.tokens.all)):
        if token.environment in ("", name):
            role, given = _role(token), bool(token.environment)
            known = found.setdefault(_user(token), UserRole(_user(token), role, given))
            if RANKS.index(role) > RANKS.index(known.role):
                known.role = role
            known.given |= given
    return RoleList([found[user] for user in sorted(found)]), b""


async def update_roles(actor: Actor, message: UpdateRoles, _: bytes, context: Context) -> tuple[Done, bytes]:
    """Other roles, which count at once: who came with such a token is cut off, and comes back as what they are now."""
    authorise(actor, "UpdateRoles", Target(message.environment))
    name = await environment_of(actor, message.environment, context)
    tokens = _good(await in_thread(context.store.tokens.all))
    changed: dict[str, str] = {}
    for user, role in message.users.items():
        theirs = [token for token in tokens if _user(token) == user and token.environment in ("", name)]
        _check(user, name, theirs)
        changed.update((token.token_id, OURS[role]) for token in theirs)
    await in_thread(context.store.tokens.set_roles, changed)
    for token_id in changed:
        context.engine.cut_off(token_id)
    return Done(), b""


def _check(user: str, environment: str, tokens: list[Token]) -> None:
    """Refuses a user whose role here can't be another than elsewhere."""
    another = f"ionian token new --env {environment} --name {user[:80]!r}"
    if not tokens:
        raise Refused(
            "InvalidError",
            f"there is no user {user[:80]!r} in environment {environment!r}: expected the name of a token of it, as of "
            f"{another}",
        )
    for token in tokens:
        if not token.environment:
            raise Refused(
                "InvalidError",
                f"user {user[:80]!r} has a token of all environments ({token.token_id}), with one role in all of them: make one "
                f"of this ({another}), and revoke that",
            )


def _good(tokens: Iterable[Token]) -> list[Token]:
    """Tokens of users that are neither revoked nor expired."""
    now = time.time()
    return [
        token
        for token in tokens
        if token.kind == "client" and token.revoked_at is None and (token.expires_at or now + 1) > now
    ]


def _user(token: Token) -> str:
    return token.name or token.token_id


def _role(token: Token) -> EnvironmentRole:
    return "no-access" if token.role == NO_ROLE else MODALS[role_of(token.role)]
