"""The file of profiles, written: what people wrote in it stays as it is, comments too.

It holds tokens, so nobody else can read it; and it is replaced as a whole, so nobody reads half of it.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, cast

from .. import config
from ..exception import InvalidError
from ..protocol.ids import ulid

if TYPE_CHECKING:
    from tomlkit import TOMLDocument


def store(profile: str, values: dict[str, str | None], *, activate: bool = False) -> None:
    """Gives a profile these settings, made where it is missing; None takes one away. The first is the active one."""

    def change(document: TOMLDocument) -> None:
        import tomlkit

        first = not document
        section = document.setdefault(profile, tomlkit.table())
        for name, value in values.items():
            if value is None:
                section.pop(name, None)
            else:
                section[name] = value
        if activate or first:
            _activate(document, profile)

    _change(change)


def activate(profile: str) -> None:
    """Makes a profile the active one. Raises InvalidError where it is not in the file."""

    def change(document: TOMLDocument) -> None:
        if profile not in document:
            there = ", ".join(document) or "none"
            raise InvalidError(f"no profile {profile!r} in {config.path()}; it has {there}")
        _activate(document, profile)

    _change(change)


def _activate(document: TOMLDocument, profile: str) -> None:
    for name, section in cast("dict[str, Any]", document).items():
        if name == profile:
            section["active"] = True
        else:
            section.pop("active", None)


def _change(change: Callable[[TOMLDocument], None]) -> None:
    import tomlkit

    config.profiles()  # refuses what is no file of profiles
    path = config.path().resolve()  # a link to where somebody keeps such files stays one
    try:
        document = tomlkit.parse(path.read_text()) if path.exists() else tomlkit.document()
        change(document)
        temporary = path.with_name(f"{path.name}.{ulid()}")
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w") as file:
                file.write(tomlkit.dumps(document))
                file.flush()
                os.fsync(file.fileno())
            temporary.replace(path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    except OSError as error:
        raise InvalidError(
            f"can't write {path}: {error.strerror}; IONIAN_CONFIG_PATH names another file"
        ) from None
