"""Tokens: CreateToken, DescribeToken, ListTokens, RevokeToken."""

from __future__ import annotations

import time

from ionian.protocol.messages import Done
from ionian.protocol.stream import Refused
from ionian.protocol.tokens import (
    CreateToken,
    DescribeToken,
    ListTokens,
    RevokeToken,
    TokenCreated,
    TokenInfo,
    TokenList,
)

from ..auth import Actor, Target, admit_token, authorise, new_token
from ..roles import NO_ROLE, role_of
from ..store.schema import Token
from .context import Context, in_thread
from .names import check_word, environment_of

LOCAL = "local"
"""The name of this machine's own tokens, which lie in the state's folder."""


async def create_token(
    actor: Actor, message: CreateToken, _: bytes, context: Context
) -> tuple[TokenCreated, bytes]:
    """A new token, shown this once."""
    authorise(actor, "CreateToken", Target(message.environment))
    environment = message.environment and await environment_of(actor, message.environment, context)
    check_word("name", message.name)
    if not 0 <= message.expires_s < 1e10:
        raise Refused("InvalidError", f"expires_s: expected 0 or more seconds, got {message.expires_s}")
    if message.kind == "worker" and message.role != "admin":
        raise Refused(
            "InvalidError", f"role: expected none for a worker, got {message.role}; roles are of clients"
        )
    token = new_token()
    token_id = await in_thread(
        admit_token,
        context.store,
        token,
        kind=message.kind,
        environment=environment,
        name=message.name,
        expires_at=time.time() + message.expires_s if message.expires_s else None,
        role=message.role,
    )
    return TokenCreated(token, await _info(token_id, context)), b""


async def describe_token(
    actor: Actor, message: DescribeToken, _: bytes, context: Context
) -> tuple[TokenInfo, bytes]:
    """The token that the client came with."""
    authorise(actor, "DescribeToken", Target())
    return await _info(actor.token_id, context), b""


async def list_tokens(
    actor: Actor, message: ListTokens, _: bytes, context: Context
) -> tuple[TokenList, bytes]:
    """Every token, without its secret."""
    authorise(actor, "ListTokens", Target())
    return TokenList([_described(row) for row in await in_thread(context.store.tokens.all)]), b""


async def revoke_token(actor: Actor, message: RevokeToken, _: bytes, context: Context) -> tuple[Done, bytes]:
    """Makes a token useless: the own one, or any for who may make them."""
    authorise(actor, "RevokeToken", Target())
    if message.token_id != actor.token_id:
        authorise(actor, "CreateToken", Target())
    row = await in_thread(context.store.tokens.find, message.token_id)
    if row is None:
        raise Refused(
            "NotFoundError", f"there is no token {message.token_id[:80]!r}; `ionian token list` shows them"
        )
    if row.name == LOCAL:
        raise Refused(
            "InvalidError",
            f"token {row.token_id} is this machine's own; to replace it, stop the server, delete run/{row.kind}.token in its "
            "folder and start it again",
        )
    await in_thread(context.store.tokens.revoke, message.token_id)
    context.engine.cut_off(message.token_id)
    return Done(), b""


async def _info(token_id: str, context: Context) -> TokenInfo:
    row = await in_thread(context.store.tokens.find, token_id)
    if row is None:
        raise Refused("NotFoundError", f"there is no token {token_id!r}")
    return _described(row)


def _described(row: Token) -> TokenInfo:
    return TokenInfo(
        row.token_id,
        "worker" if row.kind == "worker" else "client",
        row.environment,
        row.name,
        row.created_at,
        row.expires_at or 0.0,
        row.revoked_at or 0.0,
        "none" if row.role == NO_ROLE else role_of(row.role),
    )
