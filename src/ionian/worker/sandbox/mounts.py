"""The kernel's newer mount calls (Linux 5.2 and on), by which a mount is an open descriptor until it gets its place.

Standard library only: part of the warden. All numbers are the same on x86-64 and aarch64, save pivot_root's.
"""

from __future__ import annotations

import ctypes
import errno
import os
import struct
from collections.abc import Mapping

OPEN_TREE, MOVE_MOUNT, FSOPEN, FSCONFIG, FSMOUNT, OPENAT2, MOUNT_SETATTR = 428, 429, 430, 431, 432, 437, 442
PIVOT_ROOT = {"x86_64": 155, "aarch64": 41}
AT_FDCWD, AT_EMPTY_PATH, AT_RECURSIVE = -100, 0x1000, 0x8000
CLONE, CLOEXEC = 1, 0x80000  # of open_tree
FROM_EMPTY, TO_EMPTY = 4, 0x40  # of move_mount
SET_FLAG, SET_STRING, SET_FD, CREATE = 0, 1, 5, 6  # of fsconfig
READ_ONLY, NO_SUID, NO_DEV, NO_EXEC = 1, 2, 4, 8  # of mount_setattr and fsmount
IN_ROOT, NO_MAGIC_LINKS = 0x10, 0x02  # of openat2
MNT_DETACH = 2
MS_REC, MS_PRIVATE = 1 << 14, 1 << 18

libc = ctypes.CDLL(None, use_errno=True)
_syscall = libc.syscall


def check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result


def new(kind: str, options: Mapping[str, str | int | None], attributes: int = 0) -> int:
    """A new file system, mounted nowhere: its descriptor. An option's value is text, a descriptor, or None for a flag."""
    context = check(_syscall(FSOPEN, kind.encode(), 1), f"a new {kind}")
    try:
        for name, value in options.items():
            _configure(context, kind, name, value)
        check(_syscall(FSCONFIG, context, CREATE, None, None, 0), f"making a new {kind}")
        return check(_syscall(FSMOUNT, context, 1, attributes), f"mounting a new {kind}")
    finally:
        os.close(context)


def _configure(context: int, kind: str, name: str, value: str | int | None) -> None:
    if value is None:
        done = _syscall(FSCONFIG, context, SET_FLAG, name.encode(), None, 0)
    elif isinstance(value, int):
        done = _syscall(FSCONFIG, context, SET_FD, name.encode(), None, value)
    else:
        done = _syscall(FSCONFIG, context, SET_STRING, name.encode(), value.encode(), 0)
    check(done, f"{name}={value} of a new {kind}")


def clone(path: str, folder: int = AT_FDCWD) -> int:
    """A copy of what is seen at `path`, with all mounts below it: its descriptor."""
    flags = CLONE | CLOEXEC | AT_RECURSIVE
    return check(_syscall(OPEN_TREE, folder, path.encode(), flags), f"showing {path}")


def attach(mount: int, folder: int, name: str) -> None:
    """Gives a mount its place at `name` in an open folder, where no link is followed."""
    done = _syscall(MOVE_MOUNT, mount, b"", folder, name.encode(), FROM_EMPTY)
    check(done, f"mounting at {name}")


def attach_on(mount: int, place: int) -> None:
    """Gives a mount its place on an open file or folder."""
    check(_syscall(MOVE_MOUNT, mount, b"", place, b"", FROM_EMPTY | TO_EMPTY), "mounting")


def restrict(path: str, attributes: int, folder: int = AT_FDCWD) -> None:
    """Takes rights from the mounts at `path` and below."""
    arguments = struct.pack("=4Q", attributes, 0, 0, 0)
    flags = AT_RECURSIVE | (0 if path else AT_EMPTY_PATH)
    done = _syscall(MOUNT_SETATTR, folder, path.encode(), flags, arguments, len(arguments))
    check(done, f"restricting {path}")


def open_below(root: int, path: str) -> int:
    """Opens `path` as what has `root` for its / would see it: no link and no .. leads out of it."""
    how = struct.pack("=3Q", os.O_PATH | os.O_CLOEXEC, 0, IN_ROOT | NO_MAGIC_LINKS)
    fd = _syscall(OPENAT2, root, path.encode(), how, len(how))
    if fd < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), path)
    return fd


def place_below(root: int, path: str, *, is_folder: bool) -> int:
    """Opens the place for a mount, which is made where it is missing."""
    try:
        return open_below(root, path)
    except FileNotFoundError:
        pass
    above, _, name = path.rstrip("/").rpartition("/")
    parent = place_below(root, above or "/", is_folder=True)
    try:
        if is_folder:
            os.mkdir(name, 0o755, dir_fd=parent)
        else:
            os.close(os.open(name, os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_CLOEXEC, 0o644, dir_fd=parent))
        return os.open(name, os.O_PATH | os.O_CLOEXEC | os.O_NOFOLLOW, dir_fd=parent)
    finally:
        os.close(parent)


def keep_private() -> None:
    """What is mounted in this namespace from now on is seen in no other, nor the other way round."""
    check(
        libc.mount(None, b"/", None, ctypes.c_ulong(MS_REC | MS_PRIVATE), None), "a private mount namespace"
    )


def pivot_here(root: int) -> None:
    """Makes a mounted folder the root of this namespace and of all in it; the old root is seen no more."""
    os.fchdir(root)
    check(_syscall(PIVOT_ROOT[os.uname().machine], b".", b"."), "the new root")
    check(libc.umount2(b".", MNT_DETACH), "letting go of the old root")


def is_unknown(error: OSError) -> bool:
    """Whether a kernel refused an option because it does not know it."""
    return error.errno == errno.EINVAL
