"""What is asked about the files of a volume: listed, read, and which of its files a container has open."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from enum import IntEnum
from typing import TYPE_CHECKING, Any, BinaryIO, NamedTuple

from .exception import ExecutionError, InvalidError
from .steps import Item, Steps

if TYPE_CHECKING:
    from .protocol.volumes import VolumeFile

READ_AT_ONCE = 1 << 20


class FileEntryType(IntEnum):
    """What an entry of a volume is."""

    UNSPECIFIED = 0
    FILE = 1
    DIRECTORY = 2
    SYMLINK = 3
    FIFO = 4
    SOCKET = 5


class FileEntry(NamedTuple):
    """A file or folder of a volume. `path` is relative to the volume, `mtime` in seconds since 1970."""

    path: str
    type: FileEntryType
    mtime: int
    size: int


def path_of(name: str, value: Any) -> str:
    """A path in a volume, as it was given."""
    from .arguments import wrong

    path = value.as_posix() if hasattr(value, "as_posix") else value
    if not isinstance(path, str) or "\0" in path:
        raise wrong(name, 'a path in the volume, "models/a.bin"', value)
    return path


def folder_of(name: str, value: Any) -> str:
    """A path in a volume by its names alone: "models/a"; "" is the volume itself."""
    from .arguments import wrong

    parts = [part for part in path_of(name, value).split("/") if part not in ("", ".")]
    if ".." in parts:
        raise wrong(name, "a folder within the volume, without '..'", value)
    return "/".join(parts)


def entries(volume_id: str, path: str, recursive: bool) -> Steps[None]:
    """Gives the entries of a folder one by one."""
    from .protocol.volumes import ListFiles

    waiting = [path]
    while waiting:
        at, after, more = waiting.pop(), "", True
        inner: list[str] = []
        while more:
            try:
                page, _ = yield ListFiles(volume_id, at, after)
            except FileNotFoundError:
                if at == path:
                    raise
                break  # it went meanwhile
            for file in page.files:
                after = file.path.rpartition("/")[2]
                if file.type == "directory":
                    inner.append(file.path)
                yield Item(_entry(file))
            more = page.more
        if recursive:
            waiting.extend(reversed(inner))


def _entry(file: VolumeFile) -> FileEntry:
    kind = getattr(FileEntryType, file.type.upper(), FileEntryType.UNSPECIFIED)
    return FileEntry(file.path, kind, int(file.mtime), file.size)


def no_pattern(path: str) -> str:
    """A path that is no pattern, as Modal's older clients took."""
    if path.endswith("*"):
        raise InvalidError(
            f"path: expected a folder or file, got the pattern {path!r}; list the folder, and choose"
        )
    return path


def chunks(volume_id: str, path: str) -> Steps[None]:
    """Gives the content of a file part by part."""
    from .protocol.volumes import ReadFile

    at, identity = 0, ""
    while True:
        part, content = yield ReadFile(volume_id, path, at, READ_AT_ONCE)
        if identity and part.identity != identity:
            raise ExecutionError(f"{path}: another file took its place while it was read; read it again")
        identity = part.identity
        if content:
            yield Item(bytes(content))
        at += len(content)
        if not content or at >= part.size:
            return


def write_into(
    volume_id: str, path: str, fileobj: BinaryIO, progress: Callable[..., Any] | None
) -> Steps[int]:
    """Writes the content of a file into an open one; returns its size."""
    from .protocol.volumes import ReadFile

    at, identity = 0, ""
    while True:
        part, content = yield ReadFile(volume_id, path, at, READ_AT_ONCE)
        if identity and part.identity != identity:
            raise ExecutionError(f"{path}: another file took its place while it was read; read it again")
        identity = part.identity
        fileobj.write(content)
        at += len(content)
        if progress is not None:
            progress(advance=len(content))
        if not content or at >= part.size:
            return at


def open_files(mount: str) -> Iterator[tuple[str, str]]:
    """The files below a mount that processes of this container have open, with the processes."""
    for process in os.listdir("/proc"):
        if not process.isdigit():
            continue
        try:
            descriptors = os.listdir(f"/proc/{process}/fd")
        except OSError:  # it ended, or is another user's
            continue
        for descriptor in descriptors:
            try:
                path = os.readlink(f"/proc/{process}/fd/{descriptor}")
            except OSError:
                continue
            if path.startswith(f"{mount}/"):
                yield path, f"{_command_of(process)} (process {process})"


def _command_of(process: str) -> str:
    try:
        with open(f"/proc/{process}/cmdline", "rb") as file:
            words = file.read(200).split(b"\0")
    except OSError:
        return "a process"
    return b" ".join(words).decode(errors="replace").strip() or "a process"
