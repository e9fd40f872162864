"""tqdm in a template: models are loaded under its bars, and it starts a thread and makes a lock that no fork may have."""

from __future__ import annotations

from types import ModuleType
from typing import Any


class ProgressBars:
    """Made in a template before user code runs."""

    def __init__(self) -> None:
        self._std: Any = None
        self._interval = 0

    def of_tqdm(self, module: ModuleType) -> None:
        """Called behind the import of `tqdm.std`: takes both from it in the ways that it has for it."""
        self._std = module
        self._interval = self._std.tqdm.monitor_interval
        self._std.tqdm.monitor_interval = 0
        self._std.TqdmDefaultWriteLock.mp_lock = None

    def release(self) -> None:
        """In a fork: its next bar has them again."""
        if self._std is None:
            return
        del self._std.TqdmDefaultWriteLock.mp_lock
        if self._std.tqdm.monitor_interval == 0:
            self._std.tqdm.monitor_interval = self._interval
        if type(getattr(self._std.tqdm, "_lock", None)) is self._std.TqdmDefaultWriteLock:
            del self._std.tqdm._lock
