"""Which ids of this machine a sandbox's users are.

No sandbox has this machine's uid 0. A root worker gives a range of its own, so ownership in layers is real. A plain
user gives itself as uid 0 and, where `newuidmap` and /etc/subuid allow it, its subordinate ids as the others.
"""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import sys
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

    def uid(self, inside: int) -> int:
        """The uid here of one inside; -1 where it has none."""
        return _outside(self.uids, inside)

    def gid(self, inside: int) -> int:
        return _outside(self.gids, inside)

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
            ids = IdMap(((0, uid, 1), (1, *uids)), ((0, gid, 1), (1, *gids)), by_helper=True)
            if _helper_works(ids):
                return ids
    return IdMap(((0, uid, 1),), ((0, gid, 1),))


def _outside(extents: tuple[Extent, ...], inside: int) -> int:
    return next(
        (here + inside - first for first, here, size in extents if first <= inside < first + size), -1
    )


def helper_commands(pid: int, uids: Iterable[Extent], gids: Iterable[Extent]) -> list[list[str]]:
    """The calls of newuidmap and newgidmap that give a process' namespace its ids."""
    return [
        [tool, str(pid), *(str(number) for extent in extents for number in extent)]
        for tool, extents in (("newuidmap", uids), ("newgidmap", gids))
    ]


PROBE = """
import ctypes, sys
print(ctypes.CDLL(None).unshare(0x10000000), flush=True)
sys.stdin.read()
"""


def _helper_works(ids: IdMap) -> bool:
    """Tries the helpers once: they may lack their setuid bit (in a container), or refuse the lines they are given.
    With one id only, the owner of layers is the same, so nothing that was built before is lost."""
    command = [sys.executable, "-I", "-S", "-c", PROBE]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as probe:
        assert probe.stdin is not None
        assert probe.stdout is not None
        if probe.stdout.readline().strip() != "0":
            return False
        done = [
            subprocess.run(command, capture_output=True, check=False).returncode
            for command in helper_commands(probe.pid, ids.uids, ids.gids)
        ]
        probe.stdin.close()
    return not any(done)


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
