"""What a container has written to its disk, held to `ephemeral_disk`: looked at from outside, for quotas take root."""

from __future__ import annotations

import asyncio
import os
import stat
import time
from collections.abc import Callable
from pathlib import Path

from .sandbox.soft import tree

PERIOD_S = 1.0

SHARE = 20
"""Of a core at most this part goes into looking at one container: a tree of millions of files is looked at less often."""

IN_MEMORY = ("/memfd:", "/dev/shm/", "/dev/zero", "/SYSV")
"""How files without a name are called that are memory and no disk."""


async def hold_to(limit_mib: int, folder: Path, pid: int, over: Callable[[str], None]) -> None:
    """Looks again and again, until it is cancelled or there is more: then `over` hears why, once. `folder`: what the container
    writes; `pid`: its first process."""
    while True:
        began = time.monotonic()
        used = await _below(folder) + await asyncio.to_thread(nameless, pid)
        if used > limit_mib << 20:
            over(f"it used more than its ephemeral_disk of {limit_mib:,} MiB")
            return
        await asyncio.sleep(max(PERIOD_S, SHARE * (time.monotonic() - began)))


async def _below(folder: Path) -> int:
    """Bytes on the disk. du goes as deep as user code may have made its folders."""
    process = await asyncio.create_subprocess_exec(
        *("du", "-sxB1", "--", str(folder)),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.DEVNULL,  # folders that go away meanwhile
    )
    try:
        said, _ = await process.communicate()
    except asyncio.CancelledError:
        process.kill()
        raise
    return int(said.split()[0]) if said.strip() else 0


def nameless(pid: int) -> int:
    """Bytes of files that were deleted, and that a process from `pid` down has open."""
    found: dict[tuple[int, int], int] = {}
    for process in tree(pid):
        folder = f"/proc/{process}/fd"
        try:
            names = os.listdir(folder)
        except OSError:
            continue
        for name in names:
            try:
                known = os.stat(f"{folder}/{name}")
                if known.st_nlink or not stat.S_ISREG(known.st_mode):
                    continue
                if os.readlink(f"{folder}/{name}").startswith(IN_MEMORY):
                    continue
            except OSError:
                continue  # it was closed
            found[known.st_dev, known.st_ino] = known.st_blocks * 512
    return sum(found.values())
