"""Templates are made one after the other, as each import takes a core; but none waits for long for one that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager

PATIENCE_S = 5.0
"""After so long the next one begins beside the one that is being made: user code in it may wait for what never comes."""


class Turns:
    """Whose turn it is."""

    def __init__(self, patience_s: float = PATIENCE_S) -> None:
        self._patience_s = patience_s
        self._free = asyncio.Semaphore(1)

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[None]:
        """Waits for its turn, which lasts until the block ends or the patience does."""
        await self._free.acquire()
        over = False

        def release() -> None:
            nonlocal over
            if not over:
                over = True
                self._free.release()

        timer = asyncio.get_running_loop().call_later(self._patience_s, release)
        try:
            yield
        finally:
            timer.cancel()
            release()
