"""Objects that the server keeps under a name: how they are found, made, listed and deleted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

ObjectKind = Literal["dict", "queue", "secret", "volume"]

PREFIXES: dict[str, str] = {"dict": "di", "queue": "qu", "secret": "st", "volume": "vo"}
"""How the ids of each kind begin."""

KEEP_EVERY_S = 300.0
"""So often whoever has an ephemeral object says that it is still needed."""


@dataclass
class FindObject:
    """Asks for an object by its name or by its id; `create` makes it where it is missing. Answered by ObjectInfo."""

    kind: ObjectKind
    name: str = ""
    environment: str = ""
    create: bool = False
    object_id: str = ""


@dataclass
class CreateObject:
    """Makes an object; one that is there already is refused unless `allow_existing`. Answered by ObjectInfo.

    `object_id` is the client's choice, so that asking again is harmless.
    """

    kind: ObjectKind
    object_id: str
    name: str
    environment: str = ""
    allow_existing: bool = False
    isolated: bool = (
        False  # of a volume: what a container writes others see when it is committed, on one machine, too
    )


@dataclass
class CreateEphemeral:
    """Makes an object without a name, which is deleted once nobody has asked to keep it for a while. Answered by
    ObjectInfo."""

    kind: ObjectKind
    object_id: str
    environment: str = ""


@dataclass
class KeepEphemeral:
    """This object is still needed."""

    object_id: str


@dataclass
class ListObjects:
    """Asks for the objects of a kind that have a name, newest first. Answered by ObjectList."""

    kind: ObjectKind
    environment: str = ""
    limit: int = 0  # 0: all
    created_before: float = 0.0  # seconds since 1970; 0: no bound


@dataclass
class DeleteObject:
    """Deletes an object, by its name or by its id, with all that is in it."""

    kind: ObjectKind
    name: str = ""
    environment: str = ""
    object_id: str = ""


@dataclass
class RenameObject:
    """Gives an object another name, which must be free."""

    kind: ObjectKind
    name: str
    new_name: str
    environment: str = ""


@dataclass
class ObjectInfo:
    """An object."""

    object_id: str
    name: str  # "": an ephemeral one
    environment: str
    created_at: float  # seconds since 1970
    created_by: str = ""


@dataclass
class ObjectList:
    """The answer to ListObjects."""

    objects: list[ObjectInfo] = field(default_factory=list[ObjectInfo])
