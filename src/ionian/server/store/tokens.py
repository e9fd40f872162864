"""Tokens of clients and workers; `server/auth.py` makes and checks their secret halves."""

from __future__ import annotations

import time
from collections.abc import Mapping

from sqlalchemy import select, update

from .database import Database, once_more
from .schema import Token


class Tokens:
    """The tokens."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @once_more
    def add(
        self,
        token_id: str,
        *,
        kind: str,
        environment: str,
        name: str,
        secret_hash: str,
        expires_at: float | None = None,
        role: str = "admin",
    ) -> None:
        """Keeps a token; one that is there already is left as it is, revoked or not."""
        with self._database.write() as session:
            if session.get(Token, token_id) is None:
                token = Token(token_id, kind, environment, name, secret_hash, time.time())
                token.expires_at = expires_at
                token.role = role
                session.add(token)

    def find(self, token_id: str) -> Token | None:
        """A token by its id, revoked ones too."""
        with self._database.read() as session:
            return session.get(Token, token_id)

    def revoke(self, token_id: str) -> bool:
        """Makes a token useless from now on; whether there was such a one."""
        with self._database.write() as session:
            token = session.get(Token, token_id)
            if token is None:
                return False
            token.revoked_at = token.revoked_at or time.time()
            return True

    def set_roles(self, roles: Mapping[str, str]) -> None:
        """Gives tokens these roles, all of them at once."""
        with self._database.write() as session:
            for token_id, role in roles.items():
                session.execute(update(Token).where(Token.token_id == token_id).values(role=role))

    def all(self) -> list[Token]:
        """Every token, oldest first."""
        with self._database.read() as session:
            return list(session.scalars(select(Token).order_by(Token.created_at, Token.token_id)))
