"""What expires: objects that were deleted, entries of dicts and partitions of queues that nobody used, bit by bit."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING

from ..blobs import STALE_WRITE_S
from ..handlers.objects import BETWEEN_S, KEEP_S, STEP_ROWS, delete_content, remove_folder

if TYPE_CHECKING:
    from ..handlers.context import Context

log = logging.getLogger("ionian.server")

EVERY_S = 60.0

KINDS = ("dict", "queue", "volume")
"""Whose content is here."""


class Purge:
    """Deletes what is due."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._store = context.store
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """From now on. Who needs an ephemeral object could not say so while the server was down."""
        await asyncio.to_thread(self._store.objects.keep_all, KEEP_S)
        self._task = asyncio.ensure_future(self._run())

    def stop(self) -> None:
        """No more."""
        if self._task is not None:
            self._task.cancel()

    async def _run(self) -> None:
        while True:
            await asyncio.sleep(EVERY_S)
            try:
                await self.sweep(time.time())
            except Exception:
                log.exception("deleting what has expired")

    async def sweep(self, now: float) -> None:
        """Deletes everything that is due at a moment."""
        rows = self._store.old_items
        await asyncio.to_thread(self._sweep_drafts, now)
        for each in await asyncio.to_thread(self._store.objects.expired, now):
            if each.kind not in KINDS:
                continue
            if each.kind == "volume":
                await asyncio.to_thread(remove_folder, self._context.state.volumes / each.object_id)
            await delete_content(each.object_id, self._context)
            await asyncio.to_thread(self._store.objects.forget, each.object_id)
        while await asyncio.to_thread(rows.delete_entries, now, STEP_ROWS):
            await asyncio.sleep(BETWEEN_S)
        while await asyncio.to_thread(rows.delete_partitions, now, STEP_ROWS):
            await asyncio.sleep(BETWEEN_S)
        self._store.items.count_anew()

    def _sweep_drafts(self, now: float) -> None:
        """What a killed server left of files that it was writing to volumes."""
        for draft in self._context.state.volume_drafts.iterdir():
            if now - draft.stat().st_mtime > STALE_WRITE_S:
                draft.unlink(missing_ok=True)
