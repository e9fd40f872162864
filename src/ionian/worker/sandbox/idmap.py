"""Which ids of this machine a sandbox's users are.

No sandbox has this machine's uid 0. A root worker gives a range of its own, so ownership in layers is real. A plain
user gives itself as uid 0 and, where `newuidmap` and /etc/subuid allow it, its subordinate ids as the others.
"""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

# Far above the ranges that useradd (100,000 up) and systemd (524,288 to 1,879,048,191, in use ones checked by it)
# give out by default on a machine with few users.
FIRST = 1 << 30
COUNT = 65_536

Extent = tuple[int, int, int]  # (first id inside, first id here, how many)


@dataclass(frozen=True)
class IdMap:
    """The ids of a sandbox. `host_uid` and `host_gid` are what its uid 0 is here: layer files belong to them."""

    uids: tuple[Extent, ...]
    gids: tuple[Extent, ...]
    by_helper: bool = False  # newuidmap and newgidmap write the maps

    @property
    def host_uid(self) -> int:
        return self.uids[0][1]

    @property
    def host_gid(self) -> int:
        return self.gids[0][1]

    @property
    def count(self) -> int:
        return min(sum(e[2] for e in self.uids), sum(e[2] for e in self.gids))

    @staticmethod
    def current() -> IdMap:
        """The map of this process' user on this machine (looked up once)."""
        return _current(os.geteuid(), os.getegid())


@cache
def _current(uid: int, gid: int) -> IdMap:
    if uid == 0:
        return root_map(read_extents("/proc/self/uid_map"), read_extents("/proc/self/gid_map"))
    if shutil.which("newuidmap") and shutil.which("newgidmap"):
        uids, gids = subordinate("/etc/subuid", uid), subordinate("/etc/subgid", uid)
        if uids and gids:
            return IdMap(((0, uid, 1), (1, *uids)), ((0, gid, 1), (1, *gids)), by_helper=True)
    return IdMap(((0, uid, 1),), ((0, gid, 1),))


def root_map(uid_extents: Iterable[Extent], gid_extents: Iterable[Extent]) -> IdMap:
    """A root worker's map: FIRST up, or the end of what it has when it is itself in a user namespace."""
    return IdMap((_own_range(uid_extents),), (_own_range(gid_extents),))


def _own_range(extents: Iterable[Extent]) -> Extent:
    all_of_them = list(extents)
    if any(first <= FIRST and first + size >= FIRST + COUNT for first, _, size in all_of_them):
        return (0, FIRST, COUNT)
    first, _, size = max(all_of_them, key=lambda e: e[2])
    count = max(1, min(COUNT, size // 2))
    return (0, first + size - count, count)


def subordinate(path: str, uid: int) -> tuple[int, int] | None:
    """The user's line of /etc/subuid or /etc/subgid: (first id, how many)."""
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    try:
        lines = Path(path).read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        owner, _, rest = line.partition(":")
        first, _, size = rest.partition(":")
        if owner in (name, str(uid)) and first.isdigit() and size.isdigit() and int(size) > 0:
            return int(first), min(int(size), COUNT - 1)
    return None


def read_extents(path: str) -> list[Extent]:
    lines = [line.split() for line in Path(path).read_text().splitlines()]
    return [(int(a), int(b), int(c)) for a, b, c in lines]
