"""What users may do in an environment. A user is the name of tokens, or the id of one that has no name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

EnvironmentRole = Literal["contributor", "viewer", "no-access"]


@dataclass
class ListRoles:
    """Asks who may do what in an environment. Answered by RoleList."""

    environment: str


@dataclass
class UserRole:
    """A user's role. `given`: in this environment alone, else it comes with a token of all environments."""

    user: str
    role: EnvironmentRole
    given: bool


@dataclass
class RoleList:
    """The answer to ListRoles, by name."""

    roles: list[UserRole] = field(default_factory=list[UserRole])


@dataclass
class UpdateRoles:
    """Gives users other roles in an environment, all of them or none. Answered by Done."""

    environment: str
    users: dict[str, EnvironmentRole] = field(default_factory=dict[str, EnvironmentRole])
