"""What a sandbox uses where no cgroup may be written: read from /proc, every 100 ms, and ended past its limit."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from .cgroup import Reading

PERIOD_S = 0.1
PAGE = os.sysconf("SC_PAGE_SIZE")
TICKS = os.sysconf("SC_CLK_TCK")


def read(pid: int, limit_bytes: int = 0) -> Reading:
    """CPU and memory of a sandbox, given its pid 1 (which adopts every orphan, so all of it lies below).

    Memory is the sum of resident sets while that is under the limit, else the sum of proportional sets, which counts
    a page shared by forks once, but makes the kernel walk the page tables.
    """
    members = list(_tree(pid))
    cpu = sum(_cpu_ticks(p) for p in members) / TICKS
    resident = sum(_resident(p) for p in members)
    if (limit_bytes and resident > limit_bytes) or len(members) > 2:
        return Reading(cpu, sum(_proportional(p) for p in members))
    return Reading(cpu, resident)


def _tree(pid: int) -> Iterator[int]:
    yield pid
    try:
        threads = os.listdir(f"/proc/{pid}/task")
    except OSError:
        return
    for thread in threads:
        for child in _text(f"/proc/{pid}/task/{thread}/children").split():
            yield from _tree(int(child))


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
