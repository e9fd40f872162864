"""Open files of user code that a fork opens again: else all of them would read at one place, which each moves on."""

from __future__ import annotations

import fcntl
import os
import stat
from typing import NamedTuple

Descriptors = dict[int, tuple[str, int]]
"""What each is (/proc's words for it), and its inode."""

DELETED = " (deleted)"
KEPT_FLAGS = ~(os.O_CREAT | os.O_EXCL | os.O_TRUNC)


class OpenFile(NamedTuple):
    """A file as it can be opened again."""

    fd: int
    path: str
    flags: int


def descriptors() -> Descriptors:
    """All that this process has."""
    found: Descriptors = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}"), os.fstat(int(name)).st_ino
        except OSError:
            pass  # the one by which the folder was read
    return found


def can_reopen(fd: int, path: str) -> bool:
    """Whether it is a file with a name that is read, or only appended to: what is written elsewhere may be half done, and
    a database's locks are in its descriptor."""
    flags = fcntl.fcntl(fd, fcntl.F_GETFL)
    is_safe = flags & os.O_ACCMODE == os.O_RDONLY or bool(flags & os.O_APPEND and flags & os.O_WRONLY)
    return is_safe and stat.S_ISREG(os.fstat(fd).st_mode) and not path.endswith(DELETED)


def to_reopen(before: Descriptors) -> list[OpenFile]:
    """Those that were opened since `before` was taken."""
    found: list[OpenFile] = []
    for fd, (path, inode) in descriptors().items():
        if before.get(fd) != (path, inode) and can_reopen(fd, path):
            found.append(OpenFile(fd, path, fcntl.fcntl(fd, fcntl.F_GETFL) & KEPT_FLAGS))
    return found


def reopen(files: list[OpenFile]) -> None:
    """In a fork: opens each at its place. Raises OSError for one that is not there."""
    for file in files:
        at = os.lseek(file.fd, 0, os.SEEK_CUR)
        inheritable = os.get_inheritable(file.fd)
        opened = os.open(file.path, file.flags)
        os.lseek(opened, at, os.SEEK_SET)
        os.dup2(opened, file.fd, inheritable)
        os.close(opened)
