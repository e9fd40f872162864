"""The memory that a worker may use: the machine's, or what the cgroup that it runs in leaves of it (a pod's, a unit's)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

MEMINFO = Path("/proc/meminfo")
FILES = {
    1: ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file"),
    2: ("memory.max", "memory.current", "inactive_file"),
}
"""By the version of cgroups: the limit, what is used, and what of that the kernel can drop."""


@dataclass(frozen=True)
class Memory:
    """In MiB. `available`: what programs could have without swapping, or being ended for it."""

    total: int
    available: int

    @classmethod
    def now(cls) -> Memory:
        """As the kernel says. Raises OSError or KeyError where it does not."""
        lines = (line.split() for line in MEMINFO.read_text().splitlines())
        sizes = {words[0]: int(words[1]) >> 10 for words in lines if len(words) > 1}
        memory = cls(sizes["MemTotal:"], sizes["MemAvailable:"])
        for folder, version in _own():
            memory = memory.within(folder, version)
        return memory

    def within(self, folder: Path, version: int) -> Memory:
        """What a cgroup leaves of it; the whole where that has no limit."""
        limit, used, droppable = FILES[version]
        try:
            most = int((folder / limit).read_text()) >> 20
            if most >= self.total:
                return self
            table = dict(line.split() for line in (folder / "memory.stat").read_text().splitlines())
            held = int((folder / used).read_text()) - int(table.get(droppable, 0)) >> 20
        except (OSError, ValueError):
            return self  # "max", or the root's, which has no limit
        return Memory(most, max(0, min(self.available, most - held)))


@cache
def _own() -> list[tuple[Path, int]]:
    try:
        mounts, places = Path("/proc/self/mounts").read_text(), Path("/proc/self/cgroup").read_text()
    except OSError:
        return []
    return list(above(mounts, places))


def above(mounts: str, places: str) -> Iterator[tuple[Path, int]]:
    """The memory cgroups that a process is in, the innermost first, each with its version; from the texts of /proc."""
    parts = [line.split(":", 2)[1:] for line in places.splitlines()]
    where = {name: path for names, path in parts for name in names.split(",")}
    for _, at, kind, options, *_ in (line.split() for line in mounts.splitlines()):
        if kind == "cgroup" and "memory" in options.split(","):
            version, place = 1, where.get("memory")
        elif kind == "cgroup2":
            version, place = 2, where.get("")
        else:
            continue
        if place is None:
            continue
        top, folder = Path(at), Path(at, place.lstrip("/"))
        if not folder.is_dir():
            folder = top  # a container sees its own part of the hierarchy alone
        while folder != top:
            yield folder, version
            folder = folder.parent
        yield top, version
