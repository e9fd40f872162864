"""Paths below a folder that others write to: nothing that lies there leads out of it.

Containers write to volumes, so any part of a path may be a link, and become one while we look. Reading follows links that stay
below the folder (`openat2` with RESOLVE_BENEATH); writing follows none.
"""

from __future__ import annotations

import ctypes
import errno
import os
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

OPENAT2 = 437  # on every architecture
RESOLVE_NO_MAGICLINKS, RESOLVE_BENEATH = 0x02, 0x08
AGAIN_S = 5.0
"""The kernel says "again" while somebody renames folders on the way; for so long we do."""

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
PATH_MAX, NAME_MAX = 4096, 255


class BadPath(ValueError):
    """A path that no file of a volume has."""


def parts_of(path: str) -> tuple[str, ...]:
    """The names in a path. Raises BadPath."""
    parts = tuple(part for part in path.split("/") if part not in ("", "."))
    try:
        sizes = [len(part.encode()) for part in parts]
    except UnicodeEncodeError:
        raise BadPath(f"expected a path in Unicode, got {path[:80]!r}") from None
    if ".." in parts:
        raise BadPath(f"expected a path within the volume, without '..', got {path[:80]!r}")
    if "\0" in path or any(size > NAME_MAX for size in sizes) or sum(sizes) + len(sizes) > PATH_MAX:
        raise BadPath(
            f"expected a path of up to {PATH_MAX} bytes, of names of up to {NAME_MAX} without zero bytes, got {path[:80]!r}"
        )
    return parts


@contextmanager
def rooted(path: Path) -> Generator[int]:
    """The folder that paths are below, open. Raises OSError."""
    root = os.open(path, FOLDER)
    try:
        yield root
    finally:
        os.close(root)


@contextmanager
def opened(root: int, parts: tuple[str, ...], flags: int) -> Generator[int]:
    """What a path refers to, open. Raises OSError."""
    descriptor = _open(root, "/".join(parts) or ".", flags)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def folder(root: int, parts: tuple[str, ...], owner: tuple[int, int] | None = None) -> Generator[int]:
    """A folder to write in; with an owner, those that are missing are made and given to it. Follows no link."""
    at = os.open(".", FOLDER, dir_fd=root)
    try:
        for part in parts:
            inner = _enter(at, part, owner)
            os.close(at)
            at = inner
        yield at
    finally:
        os.close(at)


def _enter(at: int, name: str, owner: tuple[int, int] | None) -> int:
    flags = FOLDER | os.O_NOFOLLOW
    try:
        return os.open(name, flags, dir_fd=at)
    except FileNotFoundError:
        if owner is None:
            raise
    try:
        os.mkdir(name, 0o755, dir_fd=at)
    except FileExistsError:  # another made it
        return os.open(name, flags, dir_fd=at)
    made = os.open(name, flags, dir_fd=at)
    give(made, owner)
    return made


def sync_disk(descriptor: int) -> None:
    """All that was written to the file system of an open file is on its disk. Raises OSError."""
    if _libc.syncfs(descriptor) != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def give(descriptor: int, owner: tuple[int, int]) -> None:
    """A file or folder that root made belongs to the ids of the containers."""
    if os.geteuid() == 0:
        os.fchown(descriptor, *owner)


def link(leads_to: str, name: str, at: int, owner: tuple[int, int]) -> None:
    """Makes a link in an open folder, which belongs to the ids of the containers likewise."""
    os.symlink(leads_to, name, dir_fd=at)
    if os.geteuid() == 0:
        os.chown(name, *owner, dir_fd=at, follow_symlinks=False)


class _How(ctypes.Structure):
    _fields_ = (("flags", ctypes.c_uint64), ("mode", ctypes.c_uint64), ("resolve", ctypes.c_uint64))


_libc = ctypes.CDLL(None, use_errno=True)


def _open(root: int, path: str, flags: int) -> int:
    how = _How(flags | os.O_CLOEXEC, 0, RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS)
    until = time.monotonic() + AGAIN_S
    while True:
        found = _libc.syscall(OPENAT2, root, os.fsencode(path), ctypes.byref(how), ctypes.sizeof(how))
        if found >= 0:
            return found
        number = ctypes.get_errno()
        if number in (errno.ENOSYS, errno.EPERM):  # an old kernel, or a filter round it
            return _open_without_links(root, path, flags)
        if number != errno.EAGAIN or time.monotonic() > until:
            raise OSError(number, os.strerror(number), path)


def _open_without_links(root: int, path: str, flags: int) -> int:
    *parents, name = path.split("/")
    with folder(root, tuple(parents)) as at:
        return os.open(name, flags | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=at)
