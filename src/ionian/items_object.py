"""How dicts and queues are had, by their names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import later
from .named_object import Ephemeral, NamedObject, retired

if TYPE_CHECKING:
    from typing_extensions import Self


class ItemsObject(NamedObject):
    """What dicts and queues have in common."""

    def __init__(self) -> None:
        super().__init__()

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        create_if_missing: bool = False,
        client: Any = None,
    ) -> Self:
        """The one of that name. Nothing is asked of the server until it is used.

        Its first use raises NotFoundError where there is none and `create_if_missing` is not given.
        """
        later.refuse(f"{cls.__name__}.from_name", client=client)
        return cls._named(name, environment_name, create_if_missing)

    @classmethod
    def new(cls) -> Ephemeral[Self]:
        """Retired: write `ephemeral`."""
        retired(f"modal.{cls.__name__}.new()", f"modal.{cls.__name__}.ephemeral()")
        return Ephemeral(cls, None)
