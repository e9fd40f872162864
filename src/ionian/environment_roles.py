"""What users may do in an environment: `Environment.roles`, and `Environment.members`, its former name."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, cast

from .arguments import flag, wrong
from .exception import DeprecationError, InvalidError
from .steps import Steps, StepsMethod

if TYPE_CHECKING:
    from .environment import Environment
    from .protocol.environment_roles import EnvironmentRole

ROLES = ("contributor", "viewer", "no-access")

RETIRED_AT = 4
"""The caller's frame, as seen from a step."""


class EnvironmentRoles:
    """Who may do what: `modal.Environment.from_name("dev").roles.list()`.

    A user is the name of tokens (`ionian token new --env dev --name ann`), or the id of one that has no name.
    """

    def __init__(self, environment: Environment) -> None:
        self._environment = environment

    @StepsMethod
    def list(self, *, exclude_default: bool = False) -> Steps[dict[str, dict[str, str]]]:
        """The role of each user, as `{"users": {"ann": "viewer"}, "service_users": {}}`: "contributor", "viewer" or "no-access".

        `exclude_default`: without those that come with a token of all environments.
        """
        return (yield from self._steps_of_list(flag("exclude_default", exclude_default)))

    @StepsMethod
    def update(
        self, *, users: Mapping[str, str] | None = None, service_users: Mapping[str, str] | None = None
    ) -> Steps[None]:
        """Gives users other roles, all of them or none; who has a token of all environments has one role in all of them.

        Raises InvalidError for a user who has no token of this environment, PermissionDeniedError for who is no admin.
        """
        yield from self._steps_of_update(users, service_users)

    def _steps_of_list(self, exclude_default: bool) -> Steps[dict[str, dict[str, str]]]:
        from .protocol.environment_roles import ListRoles

        yield from self._environment._steps_of_hydrate()  # pyright: ignore[reportPrivateUsage]
        found, _ = yield ListRoles(self._environment.name)
        users = {one.user: one.role for one in found.roles if one.given or not exclude_default}
        return {"users": users, "service_users": {}}

    def _steps_of_update(self, users: Any, service_users: Any) -> Steps[None]:
        from .protocol.environment_roles import UpdateRoles

        if service_users:
            raise InvalidError(
                "service_users: there are none; whoever has a token is a user: name them in users="
            )
        asked = _roles(users)
        yield from self._environment._steps_of_hydrate()  # pyright: ignore[reportPrivateUsage]
        if asked:
            yield UpdateRoles(self._environment.name, asked)


class EnvironmentMembers:
    """The same by its former name; each use warns."""

    def __init__(self, environment: Environment) -> None:
        self._roles = EnvironmentRoles(environment)

    @StepsMethod
    def list(self) -> Steps[dict[str, dict[str, str]]]:
        """`Environment.roles.list()`."""
        _warn("list", "roles.list")
        return (yield from self._roles._steps_of_list(False))  # pyright: ignore[reportPrivateUsage]

    @StepsMethod
    def update(
        self, *, users: Mapping[str, str] | None = None, service_users: Mapping[str, str] | None = None
    ) -> Steps[None]:
        """`Environment.roles.update(…)`."""
        _warn("update", "roles.update")
        yield from self._roles._steps_of_update(users, service_users)  # pyright: ignore[reportPrivateUsage]

    @StepsMethod
    def remove(
        self, *, users: Iterable[str] | None = None, service_users: Iterable[str] | None = None
    ) -> Steps[None]:
        """Takes users their role: they have no access then."""
        _warn("remove", "roles.update")
        names = [users] if isinstance(users, str) else list(users or ())
        none = dict.fromkeys(names, "no-access")
        yield from self._roles._steps_of_update(none, list(service_users or ()))  # pyright: ignore[reportPrivateUsage]


def _roles(users: Any) -> dict[str, EnvironmentRole]:
    if users is not None and not isinstance(users, Mapping):
        raise wrong("users", 'names and their roles, such as {"ann": "viewer"}', users)
    given: dict[Any, Any] = dict(cast("Mapping[Any, Any]", users or {}))
    for name, role in given.items():
        if not isinstance(name, str) or not name:
            raise wrong("users", "the names of users", name)
        if role not in ROLES:
            raise wrong(f"users[{name!r}]", "contributor, viewer or no-access", role)
    return given


def _warn(name: str, now: str) -> None:
    warnings.warn(
        f"Environment.members.{name} is retired; write Environment.{now}",
        DeprecationError,
        stacklevel=RETIRED_AT,
    )
