"""What an argument must be. A wrong one is refused where it is written, with its name and what is right.

Nothing here runs in a container: there the values were accepted before it was started.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from typing import Any

from .exception import InvalidError

GREATEST = 2**31 - 1
"""Of whole numbers that have no limit of their own: what the protocol and the database hold for sure."""

TAG = r"[A-Za-z0-9\-_.]{1,63}"
"""The key, and the value, of a tag of an app."""


def wrong(name: str, expected: str, got: Any) -> InvalidError:
    """The error for an argument."""
    return InvalidError(f"{name}: expected {expected}, got {got!r}")


def integer(name: str, value: Any, *, least: int, most: int = GREATEST, unit: str = "") -> int:
    """A whole number from `least` to `most`."""
    if isinstance(value, bool) or not hasattr(value, "__index__") or value < least:
        raise wrong(name, f"a whole number{_of(unit)}, {least} or more", value)
    if value > most:
        raise wrong(name, f"at most {most}{f' {unit}' if unit else ''}", value)
    return value.__index__()


def number(name: str, value: Any, *, least: float, most: float, unit: str = "") -> float:
    """A number within a range."""
    expected = f"a number{_of(unit)} from {least:.12g} to {most:.12g}"
    if isinstance(value, (bool, str, bytes, complex)):
        raise wrong(name, expected, value)
    try:
        result = float(value)
    except (TypeError, ValueError, OverflowError):
        raise wrong(name, expected, value) from None
    if not least <= result <= most:
        raise wrong(name, expected, value)
    return result


def text(name: str, value: Any) -> str:
    """A string that is not empty."""
    if not isinstance(value, str) or not value:
        raise wrong(name, "a string that is not empty", value)
    return value


def app_version(value: Any) -> int:
    """The argument `version` of `from_name`: a version of a deployed app; 0: whichever is deployed."""
    return 0 if value is None else integer("version", value, least=1)


def object_name(name: str, value: Any) -> str:
    """A name for an object of the server: at most 64 letters, digits, dashes, dots and underscores."""
    from .protocol import names

    if not isinstance(value, str) or not names.is_object(value):
        raise wrong(name, names.EXPECTED_OBJECT, value)
    return value


def environment(value: Any) -> str:
    """`environment_name`: a name, or None for the current environment."""
    return "" if value is None else environment_name("environment_name", value)


def environment_name(name: str, value: Any) -> str:
    """The name of an environment."""
    from .protocol import names

    if not isinstance(value, str) or not names.is_environment(value):
        raise wrong(name, names.EXPECTED_ENVIRONMENT, value)
    return value


def flag(name: str, value: Any) -> bool:
    """True or False."""
    if not isinstance(value, bool):
        raise wrong(name, "True or False", value)
    return value


def strings(name: str, values: Iterable[Any]) -> list[str]:
    """Strings, or lists of strings, as one flat list."""
    flat: list[str] = []
    for value in values:
        if isinstance(value, str):
            flat.append(value)
        elif isinstance(value, (list, tuple)):
            flat.extend(strings(name, value))  # pyright: ignore[reportUnknownArgumentType]
        else:
            raise wrong(name, "strings, or lists of strings", value)
    return flat


def string_list(name: str, value: Any) -> list[str]:
    """A list of strings."""
    if not isinstance(value, (list, tuple)):
        raise wrong(name, "a list of strings", value)
    return strings(name, value)  # pyright: ignore[reportUnknownArgumentType]


def variables(name: str, value: Any) -> dict[str, str]:
    """A mapping of environment variables; those that are None are left out."""
    if not isinstance(value, Mapping):
        raise wrong(name, "a dictionary of strings", value)
    result: dict[str, str] = {}
    for key, item in value.items():  # pyright: ignore[reportUnknownVariableType]
        if not isinstance(key, str) or not key or "=" in key or "\0" in key:
            raise wrong(name, "names of environment variables for keys", key)
        if item is None:
            continue
        if not isinstance(item, str) or "\0" in item:
            raise InvalidError(f"{name}: expected a string for {key!r}, got {type(item).__name__}")  # pyright: ignore[reportUnknownArgumentType]
        result[key] = item
    return result


def tags(value: Any) -> dict[str, str]:
    """The tags of an app: keys and values of at most 63 letters, digits, dashes, dots and underscores."""
    import re

    checked = variables("tags", value)
    for part in (*checked, *checked.values()):
        if not re.fullmatch(TAG, part):
            raise wrong("tags", "keys and values of 1 to 63 characters of A-Z a-z 0-9 - _ .", part)
    return checked


def absolute_path(name: str, value: Any) -> str:
    """An absolute path in a container."""
    path = str(value) if isinstance(value, (str, os.PathLike)) else ""  # pyright: ignore[reportUnknownArgumentType]
    if not path.startswith("/"):
        raise wrong(name, "an absolute path in the container", value)
    return path


def mount_point(name: str, value: Any) -> str:
    """An absolute path where a volume may be: canonical, and neither `/` nor `/root` nor `/tmp`."""
    path = absolute_path(name, value).rstrip("/")
    if not path or path in {"/root", "/tmp"}:
        raise wrong(name, "a path other than /, /root and /tmp", value)
    if any(part in {"", ".", ".."} for part in path.split("/")[1:]):
        raise wrong(name, "a path without '.', '..' and double slashes", value)
    return path


def _of(unit: str) -> str:
    return f" of {unit}" if unit else ""
