"""Volumes: folders that outlive containers and are shared by them."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import later
from .arguments import environment, flag, mount_point, object_name, wrong
from .blocking import BlockingMethod
from .exception import ExecutionError, InvalidError
from .execution import is_local

if TYPE_CHECKING:
    from typing_extensions import Self


@later.fill
class Volume:
    """A named folder that functions mount with `volumes={"/path": volume}`.

    ```python
    cache = modal.Volume.from_name("model-cache", create_if_missing=True)

    @app.function(volumes={"/cache": cache})
    def train(): ...
    ```
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise InvalidError('a Volume is had by its name: modal.Volume.from_name("…", create_if_missing=True)')

    name: str
    environment_name: str  # "" is the current one
    create_if_missing: bool
    is_read_only: bool
    volume_id: str  # "" until the app runs

    @classmethod
    def from_name(
        cls,
        name: str,
        *,
        environment_name: str | None = None,
        create_if_missing: bool = False,
        version: int | None = None,
        create_options: Any = None,
        client: Any = None,
    ) -> Self:
        """The volume of that name. Nothing is asked of the server until an app that uses it runs.

        Raises NotFoundError then, where there is none and `create_if_missing` is not given.
        """
        later.refuse("Volume.from_name", version=version, create_options=create_options, client=client)
        volume = cls.__new__(cls)
        if is_local():
            object_name("name", name)
            environment(environment_name)
            flag("create_if_missing", create_if_missing)
        volume.name = name
        volume.environment_name = environment_name or ""
        volume.create_if_missing = create_if_missing
        volume.is_read_only = False
        volume.volume_id = ""
        return volume

    def with_mount_options(self, *, read_only: bool | None = None, sub_path: str | None = None) -> Self:
        """The same volume, mounted differently: with `read_only`, containers can't write to it."""
        later.refuse("Volume.with_mount_options", sub_path=sub_path)
        changed = copy.copy(self)
        if read_only is not None:
            changed.is_read_only = flag("read_only", read_only) if is_local() else read_only
        return changed

    def read_only(self) -> Self:
        """An older way to say `with_mount_options(read_only=True)`."""
        return self.with_mount_options(read_only=True)

    @BlockingMethod
    def commit(self) -> None:
        """In a container: what was written to the volume so far is on its disk when this returns.

        Other containers see what is written at once, with or without it; this is for what must outlive a loss of power.
        Raises ExecutionError outside of a container that mounts the volume.

        ```python
        json.dump(state, open("/cache/checkpoint.json", "w"))
        volume.commit()
        ```
        """
        if is_local():
            raise ExecutionError(
                f"{self!r}.commit() is for functions that mount the volume; here is nothing to commit"
            )
        from . import link
        from .protocol.apps import FindVolume
        from .volume_sync import mount_point_of, sync

        found, _ = link.current().request(FindVolume(self.name, self.environment_name))
        path = mount_point_of(found.volume_id)
        if path is None:
            raise ExecutionError(
                f'{self!r}.commit(): this function doesn\'t mount the volume; write @app.function(volumes={{"/path": …}})'
            )
        sync(path)

    @property
    def object_id(self) -> str:
        """The server's id of the volume. Raises ExecutionError before an app that uses it runs."""
        if not self.volume_id:
            raise ExecutionError(f"the volume {self.name!r} has no id before an app that uses it runs")
        return self.volume_id

    def __repr__(self) -> str:
        return f"Volume.from_name({self.name!r})"


def volume_mounts(value: Any) -> dict[str, Volume]:
    """The argument `volumes` of functions and apps: each at a path of its own, and none at two."""
    if not isinstance(value, Mapping):
        raise wrong("volumes", "a dictionary from paths to modal.Volume", value)
    result: dict[str, Volume] = {}
    items: dict[Any, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]
    for path, volume in items.items():
        if not isinstance(volume, Volume):
            raise wrong("volumes", "a modal.Volume for each path", volume)
        result[mount_point("volumes", path)] = volume
    check_distinct(result)
    return result


def check_distinct(mounts: Mapping[str, Volume]) -> None:
    """Raises InvalidError where a volume is at two paths."""
    places: dict[tuple[str, str], str] = {}
    for path, volume in mounts.items():
        other = places.setdefault((volume.environment_name, volume.name), path)
        if other != path:
            raise InvalidError(
                f"volumes: the volume {volume.name!r} is at {other} and at {path}; mount it once"
            )
