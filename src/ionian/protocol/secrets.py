"""Secrets that have names: how they are found, made and changed; and another master key."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

How = Literal["create", "keep", "replace", "merge"]
"""Where there is such a secret: create is refused, keep leaves its values, replace gives it these alone, merge adds them.
Where there is none, merge is refused."""


@dataclass
class PutNamedSecret:
    """Makes or changes a secret. Answered by ObjectInfo.

    `object_id` is the client's choice, so that asking again is harmless.
    """

    object_id: str
    name: str
    values: dict[str, str] = field(repr=False)
    environment: str = ""
    how: How = "create"


@dataclass
class FindSecret:
    """Asks for a secret by its name, which must have these variables. Answered by ObjectInfo."""

    name: str
    environment: str = ""
    required_keys: list[str] = field(default_factory=list[str])


@dataclass
class ListSecrets:
    """Asks for the secrets of an environment. Answered by SecretList."""

    environment: str = ""


@dataclass
class SecretInfo:
    """A secret, without any of its values. Times in seconds since 1970; 0: never."""

    object_id: str
    name: str
    created_at: float
    created_by: str = ""
    version: int = 1
    updated_at: float = 0.0
    last_used_at: float = 0.0
    lost: bool = False  # no key of the server opens it
    apps: list[str] = field(default_factory=list[str])  # that run or are deployed, and have it


@dataclass
class SecretList:
    """The answer to ListSecrets, newest first."""

    secrets: list[SecretInfo] = field(default_factory=list[SecretInfo])


@dataclass
class RotateMasterKey:
    """Another master key takes the place of the server's. Answered by MasterKeyRotated."""


@dataclass
class MasterKeyRotated:
    """The answer to RotateMasterKey: ids of keys, never keys."""

    key_id: str
    wrapped: int  # keys of secrets that it wraps now
    source: str
    former: list[str] = field(default_factory=list[str])
