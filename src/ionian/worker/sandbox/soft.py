"""What a sandbox uses where no cgroup may be written: read from /proc, every 100 ms, and ended past its limit."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterator
from pathlib import Path

from .cgroup import Reading

PERIOD_S = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def read(
    pid: int, limit_bytes: int = 0, *, without: Collection[int] = (), of_template: bool = False
) -> Reading:
    """CPU and memory of a sandbox, given its pid 1 (which adopts every orphan, so all of it lies below).

    Memory is the sum of resident sets while that is under the limit, else the sum of proportional sets, which counts
    a page shared by forks once, but makes the kernel walk the page tables. `without` are the forks of a template, which
    are children of its pid 1; a fork's pid 1 is what the template was (`of_template`), so its memory is nobody's twice.
    """
    members = list(tree(pid, without))
    counted = members[1:] if without else members  # what a template's pid 1 waited for were forks, too
    cpu = sum(map(_cpu_ticks, counted)) / TICKS
    resident = sum(map(_resident, members[1:] if of_template else members))
    if (limit_bytes and resident > limit_bytes) or len(members) > 2:
        return Reading(cpu, sum(map(_proportional, members)))
    return Reading(cpu, resident)


def tree(pid: int, without: Collection[int] = ()) -> Iterator[int]:
    """A process and all below it, but for what is below those named."""
    if pid in without:
        return
    yield pid
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        for child in _text(f"/proc/{pid}/task/{thread}/children").split():
            yield from tree(int(child), without)


def _cpu_ticks(pid: int) -> int:
    fields = _text(f"/proc/{pid}/stat").rpartition(")")[2].split()
    return sum(map(int, fields[11:15]))  # its own, and that of the children it has waited for


def _resident(pid: int) -> int:
    fields = _text(f"/proc/{pid}/statm").split()
    return int(fields[1]) * PAGE if fields else 0


def _proportional(pid: int) -> int:
    for line in _text(f"/proc/{pid}/smaps_rollup").splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return _resident(pid)


def _text(path: str) -> str:
    try:
        return Path(path).read_text()
    except OSError:
        return ""
