"""What is due is deleted again and again, a little at a time: others write between two transactions."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import ParamSpec

log = logging.getLogger("ionian.server")

P = ParamSpec("P")

STEP_ROWS = 1000
"""Rows that one transaction deletes."""

BETWEEN_S = 0.02


class Sweeper:
    """Calls `sweep` with the time, each so many seconds. What derives from it says what is due."""

    def __init__(self, what: str, every_s: float) -> None:
        self._what = what
        self._every_s = every_s
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """From now on."""
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """No more."""
        if self._task is not None:
            self._task.cancel()

    async def sweep(self, now: float) -> None:
        """Deletes everything that is due at a moment."""
        raise NotImplementedError

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            try:
                await self.sweep(time.time())
            except Exception:
                log.exception("deleting %s", self._what)


async def in_steps(delete: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Deletes in a thread, until there is nothing more: `delete` says whether there may be."""
    while await asyncio.to_thread(delete, *args, **kwargs):
        await asyncio.sleep(BETWEEN_S)
