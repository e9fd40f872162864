"""Secrets: environment variables of containers that no definition, log or list shows."""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from . import later
from .arguments import string_list, text, variables, wrong
from .exception import DeprecationError, InvalidError
from .execution import is_local

if TYPE_CHECKING:
    from pathlib import Path

    from typing_extensions import Self


@later.fill
class Secret:
    """Environment variables for `secrets=[…]`. Later ones in the list win.

    ```python
    @app.function(secrets=[modal.Secret.from_dict({"TOKEN": token})])
    def fetch(): ...
    ```
    """

    def __init__(self, env_dict: Any = None) -> None:
        """Retired: write `Secret.from_dict`."""
        import warnings

        warnings.warn(
            "modal.Secret({…}) is retired; write modal.Secret.from_dict({…})", DeprecationError, stacklevel=2
        )
        self._fill(env_dict or {})

    name: str | None
    values: dict[str, str]
    secret_id: str  # "" until the app runs

    def _fill(self, values: Mapping[str, str | None], argument: str = "env_dict") -> None:
        self.name = None
        self.secret_id = ""
        self.values = variables(argument, values) if is_local() else {}

    @classmethod
    def _of(cls, values: Mapping[str, str | None]) -> Self:
        secret = cls.__new__(cls)
        secret._fill(values)
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

        Reading it takes the package python-dotenv on this machine. Raises InvalidError where there is no such file.
        """
        if not is_local():
            return cls._of({})
        later.refuse("Secret.from_dotenv", client=client)
        try:
            from dotenv import dotenv_values  # pyright: ignore
        except ImportError:
            raise InvalidError(
                "Secret.from_dotenv needs the package python-dotenv here: pip install python-dotenv"
            ) from None
        file = _find_upward(path or ".", text("filename", filename))
        return cls._of(dotenv_values(file))  # pyright: ignore

    def __repr__(self) -> str:
        return f"Secret({', '.join(sorted(self.values))})"


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


def _find_upward(path: str | os.PathLike[str], filename: str) -> Path:
    from pathlib import Path

    start = Path(path).resolve()
    if start.is_file():
        return start
    for folder in (start, *start.parents):
        if (folder / filename).is_file():
            return folder / filename
    raise InvalidError(f"expected a file {filename} in {start} or a folder above it, found none")
