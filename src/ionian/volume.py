"""Volumes: folders that outlive containers and are shared by them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from . import config, later
from .arguments import environment, flag, mount_point, object_name, wrong
from .cloud_bucket_mount import CloudBucketMount
from .exception import ExecutionError, InvalidError
from .execution import is_local
from .named_object import Ephemeral, NamedObject, NamedObjects, no_client
from .steps import Blocking, Stepped, Steps, StepsMethod, StreamMethod, gathered
from .volume_files import FileEntry as FileEntry
from .volume_files import FileEntryType as FileEntryType
from .volume_files import chunks, entries, folder_of, no_pattern, open_files, path_of, write_into
from .volume_sync import mounted, sync

if TYPE_CHECKING:
    from typing_extensions import Self

    from .volume_upload import VolumeUpload


def _rename(
    old_name: str, new_name: str, *, client: Any = None, environment_name: str | None = None
) -> Steps[None]:
    """Gives a volume another name. Apps that are deployed keep it.

    Raises NotFoundError where there is none of the old name, AlreadyExistsError where there is one of the new.
    """
    from .protocol.objects import RenameObject

    no_client(client)
    object_name("old_name", old_name)
    object_name("new_name", new_name)
    yield RenameObject("volume", old_name, new_name, config.environment(environment(environment_name)))


@later.fill
class Volume(NamedObject):
    """A named folder that functions mount with `volumes={"/path": volume}`.

    ```python
    cache = modal.Volume.from_name("model-cache", create_if_missing=True)

    @app.function(volumes={"/cache": cache})
    def train(): ...
    ```

    Its files are there for programs that don't mount it, too: `listdir`, `read_file`, `batch_upload` and their like.
    """

    _kind = "volume"
    objects: ClassVar[NamedObjects[Volume]] = NamedObjects()
    """All volumes of an environment: `create`, `list` and `delete`."""

    rename = Stepped(_rename)

    is_read_only: bool = False
    sub_path: str = ""  # the folder that is mounted; "": all of it

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
        """The volume of that name. Nothing is asked of the server until it is used, or an app that uses it runs.

        Raises NotFoundError then, where there is none and `create_if_missing` is not given.

        Args:
            version: 1 or 2, as Modal has them; here they are one thing.
        """
        later.refuse("Volume.from_name", create_options=create_options, client=client)
        _check_version(version)
        return cls._named(name, environment_name, create_if_missing)

    @classmethod
    def from_id(cls, volume_id: str, client: Any = None) -> Self:
        """The volume of an id, `vo-…`."""
        later.refuse("Volume.from_id", client=client)
        return cls._of_id("volume_id", volume_id)

    @classmethod
    def ephemeral(
        cls,
        client: Any = None,
        environment_name: str | None = None,
        version: int | None = None,
        create_options: Any = None,
        _heartbeat_sleep: float = 300,
    ) -> Ephemeral[Self]:
        """A block with a volume that has no name and is deleted at its end: `with modal.Volume.ephemeral() as volume:`."""
        later.refuse("Volume.ephemeral", client=client, create_options=create_options)
        _check_version(version)
        return Ephemeral(cls, environment_name)

    # --- mounted

    def with_mount_options(self, *, read_only: bool | None = None, sub_path: str | None = None) -> Self:
        """The same volume, mounted differently.

        Args:
            read_only: containers can't write to it.
            sub_path: containers see this folder of it alone, which is made where it is missing; "/" is all of it.
        """
        changed = copy.copy(self)
        changed.__dict__.update(self.__dict__)
        if read_only is not None:
            changed.is_read_only = flag("read_only", read_only) if is_local() else read_only
        if sub_path is not None:
            changed.sub_path = folder_of("sub_path", sub_path) if is_local() else sub_path
        return changed

    def read_only(self) -> Self:
        """An older way to say `with_mount_options(read_only=True)`; nothing is written by this handle's methods either."""
        return self.with_mount_options(read_only=True)

    @StepsMethod
    def commit(self) -> Steps[None]:
        """In a container: what was written to the volume so far is kept when this returns, and seen on other machines.

        Containers of one machine see what is written at once, with or without it; those of others, once it is committed
        and they start or reload. Every few seconds and at a container's end that is done without being asked for.
        Raises ExecutionError outside of a container that mounts the volume.

        ```python
        json.dump(state, open("/cache/checkpoint.json", "w"))
        volume.commit()
        ```
        """
        from .protocol.volumes import CommitMounted

        volume_id, path, is_copy = yield from self._mounted_at("commit", "nothing to commit")
        if is_copy:
            yield CommitMounted(volume_id)
        else:
            yield Blocking(lambda: sync(path))

    @StepsMethod
    def reload(self) -> Steps[None]:
        """In a container: sees what others have committed. On the server's machine that is seen at once, so this only checks.

        What this machine's containers wrote and have not committed stays as they wrote it. Raises RuntimeError, as Modal
        does, where files of the volume are open: they would be of its earlier state. Raises ExecutionError outside of a
        container that mounts the volume.
        """
        from .protocol.volumes import ReloadMounted

        volume_id, path, is_copy = yield from self._mounted_at("reload", "nothing to reload")
        opened = yield Blocking(lambda: next(open_files(path), None))
        if opened is not None:
            raise RuntimeError(
                f"there are open files preventing the operation: {opened[0]} is open in {opened[1]}; close it before "
                "volume.reload()"
            )
        if is_copy:
            yield ReloadMounted(volume_id)

    def _mounted_at(self, method: str, nothing: str) -> Steps[tuple[str, str, bool]]:
        if is_local():
            raise ExecutionError(
                f"{self!r}.{method}() is for functions that mount the volume; here is {nothing}"
            )
        volume_id = yield from self._found()
        found = mounted(volume_id)
        if found is None:
            raise ExecutionError(
                f'{self!r}.{method}(): this function doesn\'t mount the volume; write @app.function(volumes={{"/path": …}})'
            )
        return (volume_id, *found)

    # --- files, from anywhere

    @StepsMethod
    def listdir(self, path: str, *, recursive: bool = False) -> Steps[list[FileEntry]]:
        """What a folder holds; of a file, itself. Raises FileNotFoundError where there is no such thing."""
        return (yield from gathered(self._entries(path, recursive)))

    @StreamMethod
    def iterdir(self, path: str, *, recursive: bool = True) -> Steps[None]:
        """The same one by one, and of its folders, too: `for entry in volume.iterdir("/"):`."""
        yield from self._entries(path, recursive)

    def _entries(self, path: str, recursive: bool) -> Steps[None]:
        at = no_pattern(path_of("path", path))
        flag("recursive", recursive)
        yield from entries((yield from self._found()), at, recursive)

    @StreamMethod
    def read_file(self, path: str) -> Steps[None]:
        """The content of a file, part by part: `b"".join(volume.read_file("a.txt"))`. Raises FileNotFoundError."""
        at = path_of("path", path)
        yield from chunks((yield from self._found()), at)

    @StepsMethod
    def read_file_into_fileobj(
        self, path: str, fileobj: BinaryIO, progress_cb: Callable[..., Any] | None = None
    ) -> Steps[int]:
        """Writes the content of a file into one that is open; returns its size."""
        at = path_of("path", path)
        return (yield from write_into((yield from self._found()), at, fileobj, progress_cb))

    @StepsMethod
    def remove_file(self, path: str, recursive: bool = False) -> Steps[None]:
        """Removes a file, or with `recursive` a folder with all that is in it. Raises FileNotFoundError."""
        from .protocol.volumes import RemoveFile

        self._writable("remove_file")
        at = path_of("path", path)
        yield RemoveFile((yield from self._found()), at, flag("recursive", recursive))

    @StepsMethod
    def copy_files(self, src_paths: Sequence[str], dst_path: str, recursive: bool = False) -> Steps[None]:
        """Copies files within the volume as `cp` does, and folders with `recursive`."""
        from .protocol.volumes import CopyFiles

        self._writable("copy_files")
        if isinstance(src_paths, str) or not src_paths:
            raise wrong("src_paths", "a list of paths in the volume", src_paths)
        sources = [path_of("src_paths", path) for path in src_paths]
        target = path_of("dst_path", dst_path)
        yield CopyFiles((yield from self._found()), sources, target, flag("recursive", recursive))

    def batch_upload(self, force: bool = False) -> VolumeUpload:
        """A block whose files are sent at its end, several at a time; what the server has already is not sent again.

        ```python
        with volume.batch_upload() as batch:
            batch.put_file("weights.bin", "models/weights.bin")
            batch.put_directory("data", "data")
        ```

        Raises FileExistsError at its end where a file is in the volume already, unless `force`.
        """
        from .volume_upload import VolumeUpload

        self._writable("batch_upload")
        return VolumeUpload(self, force)

    def _writable(self, method: str) -> None:
        if self.is_read_only:
            raise InvalidError(
                f"{self!r}.{method}(): this handle is read-only; use the one that it was made of"
            )

    def __reduce__(self) -> Any:
        options = {"is_read_only": self.is_read_only, "sub_path": self.sub_path}
        return (*super().__reduce__(), {name: value for name, value in options.items() if value} or None)


def _check_version(version: int | None) -> None:
    if version not in (None, 1, 2):
        raise wrong("version", "1 or 2, or None", version)


def volume_mounts(value: Any) -> dict[str, Volume]:
    """The volumes in the argument `volumes` of functions and apps: each at a path of its own, and none at two."""
    if not isinstance(value, Mapping):
        raise wrong("volumes", "a dictionary from paths to modal.Volume", value)
    result: dict[str, Volume] = {}
    items: dict[Any, Any] = dict(value)  # pyright: ignore[reportUnknownArgumentType]
    for path, volume in items.items():
        if isinstance(volume, CloudBucketMount):
            continue  # see bucket_mounts
        if not isinstance(volume, Volume):
            raise wrong("volumes", "a modal.Volume for each path, or a modal.CloudBucketMount", volume)
        result[mount_point("volumes", path)] = volume
    check_distinct(result)
    return result


def check_distinct(mounts: Mapping[str, Volume]) -> None:
    """Raises InvalidError where a volume is at two paths."""
    places: dict[tuple[str, str], str] = {}
    for path, volume in mounts.items():
        known = volume.name or volume.object_id
        other = places.setdefault((volume.environment_name, known), path)
        if other != path:
            raise InvalidError(f"volumes: the volume {known!r} is at {other} and at {path}; mount it once")


def asked_id(volume: Volume, where: str) -> Steps[str]:
    """The id of a volume that an app in that environment mounts."""
    from .protocol.apps import FindVolume

    if volume.name is None:
        return volume.object_id
    found, _ = yield FindVolume(volume.name, volume.environment_name or where, volume.create_if_missing)
    return found.volume_id
