"""Environments: name spaces of apps, volumes, secrets and so on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import config, later
from .arguments import environment_name, flag, integer
from .dashboard_link import OnDashboard
from .exception import ExecutionError, InvalidError, NotFoundError, UnimplementedError
from .execution import is_local
from .steps import Steps, StepsMethod

if TYPE_CHECKING:
    from typing_extensions import Self

    from .environment_billing import EnvironmentBilling
    from .environment_roles import EnvironmentMembers, EnvironmentRoles


class Environments:
    """All environments: `modal.Environment.objects.list()`."""

    @StepsMethod
    def create(
        self,
        name: str,
        *,
        allow_existing: bool = False,
        restricted: bool = False,
        default_role: str | None = None,
        client: Any = None,
    ) -> Steps[None]:
        """Makes an environment. Raises AlreadyExistsError where there is one, unless `allow_existing`."""
        from .protocol.environments import CreateEnvironment

        _refuse(restricted=restricted, default_role=default_role, client=client)
        yield CreateEnvironment(environment_name("name", name), flag("allow_existing", allow_existing))

    @StepsMethod
    def list(self, *, max_objects: int | None = None, client: Any = None) -> Steps[list[Environment]]:
        """The environments that the token may use, by name."""
        from .protocol.environments import ListEnvironments

        _refuse(client=client)
        limit = None if max_objects is None else integer("max_objects", max_objects, least=0)
        listed, _ = yield ListEnvironments()
        return [Environment.from_name(found.name) for found in listed.environments[:limit]]

    @StepsMethod
    def delete(self, name: str, *, allow_missing: bool = False, client: Any = None) -> Steps[None]:
        """Stops the apps of an environment and deletes it with its volumes, secrets and all else: there is no way back.

        Raises NotFoundError where there is none, unless `allow_missing`.
        """
        from .protocol.environments import DeleteEnvironment

        _refuse(client=client)
        try:
            yield DeleteEnvironment(environment_name("name", name))
        except NotFoundError:
            if not flag("allow_missing", allow_missing):
                raise


@later.fill
class Environment(OnDashboard):
    """A name space of apps, volumes, secrets and so on.

    ```python
    dev = modal.Environment.from_name("dev", create_if_missing=True)
    dev.hydrate()
    ```
    """

    def __init__(self) -> None:
        raise InvalidError('an Environment is had by its name: modal.Environment.from_name("…")')

    name: str  # "": the current one, until it is hydrated
    create_if_missing: bool
    objects = Environments()

    @classmethod
    def from_name(cls, name: str, *, create_if_missing: bool = False, client: Any = None) -> Self:
        """The environment of that name. Nothing is asked of the server before it is used."""
        later.refuse("Environment.from_name", client=client)
        if is_local():
            environment_name("name", name)
            flag("create_if_missing", create_if_missing)
        return cls._of(name, create_if_missing)

    @classmethod
    def from_context(cls, *, client: Any = None) -> Self:
        """The environment in which this runs: that of the container's app, else the current one."""
        later.refuse("Environment.from_context", client=client)
        return cls._of(config.environment(None), False)

    @classmethod
    def _of(cls, name: str, create_if_missing: bool) -> Self:
        made = cls.__new__(cls)
        made.name, made.create_if_missing, made._object_id = name, create_if_missing, ""
        return made

    _object_id: str

    @property
    def billing(self) -> EnvironmentBilling:
        """What it cost, by app and time, where the server has prices."""
        from .environment_billing import EnvironmentBilling

        return EnvironmentBilling(self)

    @property
    def roles(self) -> EnvironmentRoles:
        """What users may do in it."""
        from .environment_roles import EnvironmentRoles

        return EnvironmentRoles(self)

    @property
    def members(self) -> EnvironmentMembers:
        """The former name of `roles`."""
        from .environment_roles import EnvironmentMembers

        return EnvironmentMembers(self)

    @StepsMethod
    def hydrate(self, client: Any = None) -> Steps[Self]:
        """Sees to it that there is such an environment, and returns it. Raises NotFoundError where there is none."""
        later.refuse("Environment.hydrate", client=client)
        return (yield from self._steps_of_hydrate())

    def _steps_of_hydrate(self) -> Steps[Self]:
        from .protocol.environments import CreateEnvironment, FindEnvironment

        try:
            found, _ = yield FindEnvironment(self.name)
        except NotFoundError:
            if not self.create_if_missing:
                raise
            found, _ = yield CreateEnvironment(self.name, allow_existing=True)
        self.name, self._object_id = found.name, found.environment_id
        return self

    @property
    def object_id(self) -> str:
        """The server's id. Raises ExecutionError before it is known: `hydrate()` asks for it."""
        if not self._object_id:
            raise ExecutionError(f"{self!r} has no id before it is used; call .hydrate() first")
        return self._object_id

    def __repr__(self) -> str:
        return f"Environment.from_name({self.name!r})"


def _refuse(**given: Any) -> None:
    for name, value in given.items():
        if value:
            feature = "connections by hand" if name == "client" else "roles"
            raise UnimplementedError(
                f"{name}=… is not in this version of Ionian: it comes with {feature}. {later.ADVICE}"
            )
