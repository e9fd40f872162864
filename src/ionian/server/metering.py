"""What workers say that was used, on its way to the store: all that came during one write and shortly after is written by the next."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from ..protocol.usage import Metered, MeteredKept
from .store import StoreError

if TYPE_CHECKING:
    from .session import Session
    from .store import Store

log = logging.getLogger("ionian.server")

AGAIN_S = 1.0
"""A store that takes nothing is tried again after so long; meanwhile the workers keep what they said."""

PAUSE_S = 0.1
"""Between two writes. Each costs what its transaction and its sync cost, however little it writes: where containers start and end one
after the other, a write for each would be a third of what they cost here."""

OLDEST_S = 400 * 24 * 3600.0
"""A worker whose clock went astray says no older time."""


class Metering:
    """One a server."""

    def __init__(self, store: Store, spent: Callable[[list[Metered]], None]) -> None:
        """`spent`: called with what was written."""
        self._store = store
        self._spent = spent
        self._came: list[tuple[float, Metered, Session]] = []
        self._task: asyncio.Task[None] | None = None
        self._hurry = asyncio.Event()  # somebody waits for it

    def received(self, session: Session, message: Metered) -> None:
        """A worker's readings. Those of environments that its token is not for are nobody's."""
        own = session.actor.environment
        if own:
            message.readings = [one for one in message.readings if one.environment == own]
        self._came.append((time.time() - min(max(0.0, message.age_s), OLDEST_S), message, session))
        if self._task is None or self._task.done():
            self._hurry.clear()
            self._task = asyncio.ensure_future(self._write())

    async def written(self) -> None:
        """What has come so far is in the store, unless that takes nothing."""
        task = self._task
        if task is not None and not task.done():
            self._hurry.set()
            await asyncio.wait([task], timeout=5 * AGAIN_S)

    async def stop(self) -> None:
        """Writes what came, and no more."""
        await self.written()
        if self._task is not None:
            self._task.cancel()

    async def _write(self) -> None:
        while self._came:
            came, self._came = self._came, []
            try:
                told = [(at, message) for at, message, _ in came]
                await asyncio.to_thread(self._store.metered.add, told)
            except StoreError as error:
                log.error("what was used is not written yet: %s", error)
                self._came = came + self._came
                await asyncio.sleep(AGAIN_S)
                continue
            self._spent([message for _, message, _ in came])
            for session, seq in {session: message.seq for _, message, session in came}.items():
                if session.connected:
                    session.send(MeteredKept(seq))
            await self._pause()

    async def _pause(self) -> None:
        try:
            await asyncio.wait_for(self._hurry.wait(), PAUSE_S)
        except asyncio.TimeoutError:
            pass
