"""Tokens: what lets clients and workers in. The server keeps a hash of each, and shows one once, when it is made."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Kind = Literal["client", "worker"]
Role = Literal["admin", "member", "viewer"]
Access = Literal["admin", "member", "viewer", "none"]
"""A role, or none: the token lets nobody in until it has one again."""


@dataclass
class CreateToken:
    """Makes a token. Answered by TokenCreated."""

    kind: Kind = "client"
    environment: str = ""  # "": all of them
    name: str = ""
    expires_s: float = 0.0  # from now; 0: never
    role: Role = "admin"  # of a client's


@dataclass
class TokenInfo:
    """A token without its secret half. Times in seconds since 1970; 0: never."""

    token_id: str
    kind: Kind
    environment: str = ""
    name: str = ""
    created_at: float = 0.0
    expires_at: float = 0.0
    revoked_at: float = 0.0
    role: Access = "admin"


@dataclass
class TokenCreated:
    """The answer to CreateToken."""

    token: str = field(repr=False)
    info: TokenInfo


@dataclass
class DescribeToken:
    """Asks for the asker's own token. Answered by TokenInfo."""


@dataclass
class ListTokens:
    """Asks for every token. Answered by TokenList."""


@dataclass
class TokenList:
    """The answer to ListTokens, oldest first."""

    tokens: list[TokenInfo] = field(default_factory=list[TokenInfo])


@dataclass
class RevokeToken:
    """Makes a token useless from now on; who came with it is cut off. Anybody may revoke the own one."""

    token_id: str
