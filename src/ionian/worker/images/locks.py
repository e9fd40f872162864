"""Locks between tasks and between processes: several workers of one user may share a folder of images."""

from __future__ import annotations

import asyncio
import fcntl
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

POLL_S = 0.05
"""How often a waiting build looks whether the lock is free: nobody notices 50 ms behind a build."""


@asynccontextmanager
async def locked(path: Path) -> AsyncGenerator[None]:
    """Holds `path` as a lock: one holder at a time, in this process and others. It ends with its holder's life."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while not try_lock(descriptor):
            await asyncio.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


@asynccontextmanager
async def shared(path: Path) -> AsyncGenerator[None]:
    """Holds `path` together with others that hold it so, and with nobody who holds it alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        while True:
            with suppress(BlockingIOError):
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
                break
            await asyncio.sleep(POLL_S)
        yield
    finally:
        os.close(descriptor)


def try_lock(descriptor: int) -> bool:
    """Takes the lock of an open file, or says that somebody has it."""
    with suppress(BlockingIOError):
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return True
    return False
