"""Secrets: environment variables of containers that no definition, log or list shows."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from . import config, later
from .arguments import environment, flag, object_name, string_list, text, variables, wrong
from .exception import DeprecationError, ExecutionError, InvalidError
from .execution import is_local
from .named_object import NamedObject, NamedObjects, ObjectDetails, no_client
from .steps import Steps, StepsMethod

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self

    from .protocol.objects import ObjectInfo


class SecretObjects(NamedObjects["Secret"]):
    """The secrets that have names: `modal.Secret.objects.list()`."""

    @StepsMethod
    def create(  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]
        self,
        name: str,
        env_dict: Mapping[str, str],
        *,
        allow_existing: bool = False,
        environment_name: str | None = None,
        client: Any = None,
    ) -> Steps[None]:
        """Makes a secret of these variables.

        Raises AlreadyExistsError where there is one of that name, unless `allow_existing`: then it keeps its variables.
        """
        from .protocol.ids import new_id
        from .protocol.secrets import PutNamedSecret

        no_client(client)
        object_name("name", name)
        values = variables("env_dict", env_dict)
        how = "keep" if flag("allow_existing", allow_existing) else "create"
        where = config.environment(environment(environment_name))
        yield PutNamedSecret(new_id("st"), name, values, where, how)


@later.fill
class Secret(NamedObject):
    """Environment variables for `secrets=[…]`. Later ones in the list win.

    ```python
    @app.function(secrets=[modal.Secret.from_name("huggingface", required_keys=["HF_TOKEN"])])
    def fetch(): ...
    ```
    """

    _kind = "secret"
    objects: ClassVar[SecretObjects] = SecretObjects()

    def __init__(self, env_dict: Any = None) -> None:
        """Retired: write `Secret.from_dict`."""
        import warnings

        warnings.warn(
            "modal.Secret({…}) is retired; write modal.Secret.from_dict({…})", DeprecationError, stacklevel=2
        )
        self._fill(env_dict or {})

    values: Mapping[str, str] = {}
    required_keys: tuple[str, ...] = ()

    def _fill(self, values: Mapping[str, str | None], argument: str = "env_dict") -> None:
        self.name = None
        self.environment_name, self.create_if_missing, self._object_id = "", False, ""
        self.values = variables(argument, values) if is_local() else {}

    @classmethod
    def _of(cls, values: Mapping[str, str | None]) -> Self:
        secret = cls.__new__(cls)
        secret._fill(values)
        return secret

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        required_keys: list[str] = [],  # noqa: B006 (not changed)
        client: Any = None,
    ) -> Self:
        """The secret of that name, as it was made by `ionian secret create` or `Secret.objects.create`.

        Nothing is asked of the server until it is used. Raises NotFoundError then, where there is none, or where it lacks one
        of `required_keys`. Containers get the variables that it has when they start.
        """
        later.refuse("Secret.from_name", client=client)
        secret = cls._named(name, environment_name, False)
        secret.required_keys = tuple(string_list("required_keys", required_keys)) if is_local() else ()
        return secret

    @classmethod
    def from_dict(cls, env_dict: Mapping[str, str | None] = {}) -> Self:
        """A secret of these variables; those that are None are left out."""
        return cls._of(env_dict)

    @classmethod
    def from_local_environ(cls, env_keys: list[str]) -> Self:
        """A secret of these variables of this process. Raises InvalidError where one is not set."""
        if not is_local():
            return cls._of({})
        keys = string_list("env_keys", env_keys)
        missing = [key for key in keys if key not in os.environ]
        if missing:
            raise InvalidError(f"env_keys: expected variables that are set here; {', '.join(missing)} is not")
        return cls._of({key: os.environ[key] for key in keys})

    @classmethod
    def from_dotenv(
        cls, path: str | os.PathLike[str] | None = None, *, filename: str = ".env", client: Any = None
    ) -> Self:
        """A secret of a `.env` file: searched in the working folder and above it, or from `path` upward.

        Raises InvalidError where there is no such file.
        """
        if not is_local():
            return cls._of({})
        later.refuse("Secret.from_dotenv", client=client)
        from dotenv import dotenv_values

        return cls._of(dotenv_values(_find_upward(path or ".", text("filename", filename))))

    # --- with a name

    def _described(self) -> Steps[ObjectInfo]:
        from .protocol.secrets import FindSecret

        if self.name is None:
            raise ExecutionError(
                f"{self!r} belongs to the apps that have it; a secret with a name is had by Secret.from_name"
            )
        where = config.environment(self.environment_name)
        info, _ = yield FindSecret(self.name, where, list(self.required_keys))
        self._object_id = info.object_id
        return info

    @StepsMethod
    def info(self, *, refresh: bool = False) -> Steps[ObjectDetails]:  # pyright: ignore[reportIncompatibleMethodOverride, reportIncompatibleVariableOverride]
        """Its name, when it was made, and by whom: always as the server has it, so `refresh` changes nothing."""
        flag("refresh", refresh)
        return (yield from self._details())

    @StepsMethod
    def update(self, env_dict: Mapping[str, str]) -> Steps[None]:
        """Gives a secret with a name these variables beside those that it has. Containers that start from now on see them.

        Raises NotFoundError where there is no such secret.
        """
        from .protocol.ids import new_id
        from .protocol.secrets import PutNamedSecret

        values = variables("env_dict", env_dict)
        yield from self._described()
        where = config.environment(self.environment_name)
        yield PutNamedSecret(new_id("st"), self.name or "", values, where, "merge")

    def __reduce__(self) -> Any:
        return _again, (type(self), self.name, self.environment_name, self.required_keys, self._object_id)

    def __repr__(self) -> str:
        if self.name is not None:
            return f"Secret.from_name({self.name!r})"
        return f"Secret({', '.join(sorted(self.values))})"


def _again(
    kind: type[Secret], name: str | None, where: str, required_keys: tuple[str, ...], object_id: str
) -> Secret:
    """A secret out of a pickle, in which no value is."""
    secret = kind._made(name, where, False, object_id)  # pyright: ignore[reportPrivateUsage]
    secret.required_keys = required_keys
    return secret


def secret_list(value: Any) -> tuple[Secret, ...]:
    """The argument `secrets` of functions, apps and build steps."""
    if value is None:
        return ()
    if isinstance(value, (str, Mapping)) or not isinstance(value, Collection):
        raise wrong("secrets", "a list of modal.Secret", value)
    items: tuple[Any, ...] = tuple(value)  # pyright: ignore[reportUnknownArgumentType, reportUnknownVariableType]
    for item in items:
        if not isinstance(item, Secret):
            raise wrong("secrets", "a list of modal.Secret", item)
    return items


def request_of(secret: Secret, app_id: str, environment: str) -> Any:
    """What asks the server for the id of a secret: it finds one with a name, in the environment of the app unless the
    secret names another, and keeps the variables of one without."""
    from .protocol.apps import PutSecret
    from .protocol.secrets import FindSecret

    if secret.name is None:
        return PutSecret(app_id, dict(secret.values))
    return FindSecret(secret.name, secret.environment_name or environment, list(secret.required_keys))


def _find_upward(path: str | os.PathLike[str], filename: str) -> Path:
    from pathlib import Path

    start = Path(path).resolve()
    if start.is_file():
        return start
    for folder in (start, *start.parents):
        if (folder / filename).is_file():
            return folder / filename
    raise InvalidError(f"expected a file {filename} in {start} or a folder above it, found none")
