"""How long spawned calls are kept: their results some days, within a budget of bytes, and what they were, longer."""

from __future__ import annotations

import asyncio
import logging
import os
from typing import TYPE_CHECKING

from .sweeping import STEP_ROWS, Sweeper, in_steps

if TYPE_CHECKING:
    from .store import Store

log = logging.getLogger("ionian.server")

DAY_S = 24 * 3600.0

KEEP_RESULTS_S = float(os.environ.get("IONIAN_KEEP_RESULTS_S") or 7 * DAY_S)
"""Results and inputs are kept for so long after their call has ended."""

KEEP_CALLS_S = max(30 * DAY_S, KEEP_RESULTS_S)
"""For so long it is known that there was a call; who asks for its results is told that they expired."""

KEEP_BYTES = int(os.environ.get("IONIAN_KEEP_RESULTS_BYTES") or 20 << 30)
"""Payloads of ended calls take up to this much; beyond it those that ended first go before their time."""

LOOK_EVERY_S = min(600.0, max(0.2, KEEP_RESULTS_S / 4))


class Retention(Sweeper):
    """Deletes results that are due."""

    def __init__(self, store: Store) -> None:
        super().__init__("expired results", LOOK_EVERY_S)
        self._store = store
        self._swept = 0.0  # the results of calls that ended up to here are gone

    async def sweep(self, now: float, *, keep_bytes: int = KEEP_BYTES) -> None:
        """Deletes everything that is due at a moment."""
        old = self._store.old_calls
        await asyncio.to_thread(old.abandon, now - KEEP_RESULTS_S)
        await self._payloads_until(now - KEEP_RESULTS_S)
        excess = await asyncio.to_thread(old.kept_bytes, self._swept) - keep_bytes
        while excess > 0:
            ended_at, size = await asyncio.to_thread(old.oldest_bytes, self._swept)
            if not ended_at:
                break
            log.warning("results of calls that ended first are deleted: the kept ones take too many bytes")
            await self._payloads_until(ended_at)
            excess -= size
        await in_steps(old.delete_calls, now - KEEP_CALLS_S, STEP_ROWS)

    async def _payloads_until(self, ended_at: float) -> None:
        old = self._store.old_calls
        while call_ids := await asyncio.to_thread(old.ended, self._swept, ended_at, STEP_ROWS):
            await in_steps(old.delete_payloads, [call_id for call_id, _ in call_ids], STEP_ROWS)
            self._swept = call_ids[-1][1]
