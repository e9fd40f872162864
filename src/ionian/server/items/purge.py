"""What expires: objects that were deleted, entries of dicts and partitions of queues that nobody used, bit by bit."""

from __future__ import annotations

import asyncio
import math
from contextlib import suppress
from typing import TYPE_CHECKING

from ..blobs import STALE_WRITE_S
from ..handlers.objects import KEEP_S, delete_content, remove_folder
from ..sweeping import STEP_ROWS, Sweeper, in_steps

if TYPE_CHECKING:
    from ..handlers.context import Context

EVERY_S = 60.0

KINDS = ("dict", "queue", "volume")
"""Whose content is here."""


class Purge(Sweeper):
    """Deletes what is due of dicts, queues and volumes."""

    def __init__(self, context: Context) -> None:
        super().__init__("what has expired", EVERY_S)
        self._context = context
        self._store = context.store

    async def keep_all(self) -> None:
        """Who needs an ephemeral object could not say so while the server was down: they all have some more time."""
        await asyncio.to_thread(self._store.objects.keep_all, KEEP_S)

    async def drop_drafts(self) -> None:
        """What a server before this one was writing to volumes when it was killed; nothing is under way yet in this one."""
        await asyncio.to_thread(self._sweep_drafts, math.inf)

    async def sweep(self, now: float) -> None:
        """Deletes everything that is due at a moment."""
        rows = self._store.old_items
        await asyncio.to_thread(self._sweep_drafts, now)
        for each in await asyncio.to_thread(self._store.objects.expired, now):
            if each.kind not in KINDS:
                continue
            if each.kind == "volume":
                await asyncio.to_thread(remove_folder, self._context.state.volumes / each.object_id)
                await asyncio.to_thread(self._context.versions.forget, each.object_id)
            await delete_content(each.object_id, self._context)
            await asyncio.to_thread(self._store.objects.forget, each.object_id)
        await in_steps(rows.delete_entries, now, STEP_ROWS)
        await in_steps(rows.delete_partitions, now, STEP_ROWS)
        self._store.items.count_anew()

    def _sweep_drafts(self, now: float) -> None:
        """What a killed server left of files that it was writing to volumes."""
        for draft in self._context.state.volume_drafts.iterdir():
            with suppress(FileNotFoundError):  # it has its place by now
                if now - draft.stat().st_mtime > STALE_WRITE_S:
                    draft.unlink()
