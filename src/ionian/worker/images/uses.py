"""Which images and layers of files a worker uses just now: what it uses no other process removes.

Each is a lock, held as long as it is used: a worker that is killed uses nothing. The time of the lock's file says when it was
used last.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from .locks import try_lock

HELD_MAX = 256
"""Beyond so many, those that are not needed any more are given up at once: each is an open file."""


class Uses:
    """The locks of what one process uses."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._held: dict[str, int] = {}
        self.needed: Callable[[], set[str]] = set[str]
        """What has to stay held: set by who knows of the containers."""

    def hold(self, name: str) -> bool:
        """Uses it from now on. False: it is being removed at this very moment."""
        descriptor = self._held.get(name)
        if descriptor is None:
            if len(self._held) >= HELD_MAX:
                self.settle()
            descriptor = os.open(self._file(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                os.close(descriptor)
                return False
            self._held[name] = descriptor
        os.utime(descriptor)
        return True

    def settle(self, besides: Iterable[str] = ()) -> None:
        """Gives up what is not needed any more."""
        needed = self.needed() | set(besides)
        for name in [name for name in self._held if name not in needed]:
            os.close(self._held.pop(name))

    def used_at(self, name: str) -> float:
        """When it was used last; 0 where nobody knows."""
        try:
            return self._file(name).stat().st_mtime
        except OSError:
            return 0.0

    def claim(self, name: str) -> int | None:
        """The right to remove it, held until the descriptor is closed; None where somebody uses it."""
        descriptor = os.open(self._file(name), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        if try_lock(descriptor):
            return descriptor
        os.close(descriptor)
        return None

    def forget(self, name: str) -> None:
        """It is gone, and so is the time of its last use."""
        with suppress(OSError):
            os.utime(self._file(name), (0, 0))

    def _file(self, name: str) -> Path:
        return self._folder / f"{name}.use"
