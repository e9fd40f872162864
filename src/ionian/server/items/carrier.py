"""One thread that carries out operations on dicts and queues: what comes while a commit is under way is committed
together by the next, so that one sync to disk serves hundreds of operations."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence

from ... import faults
from ..store.database import StoreError
from ..store.item_work import Request
from ..store.items import Items, Write

log = logging.getLogger("ionian.server")

GROUP_BYTES = 16 << 20
"""A group is closed at this size, so that nobody waits for seconds for the sync of others."""

GROUP_OPS = 4000
"""The same by number: some 50 ms of work for the database."""

Committed = Callable[[Sequence[Write], "StoreError | None"], None]


class Carrier:
    """`put` from the event loop; `committed` is called there, with groups in the order in which they were put."""

    def __init__(self, items: Items, committed: Committed) -> None:
        self._items = items
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[Write] = deque()
        self._there = threading.Condition()
        self._ending = False
        self._thread = threading.Thread(target=self._run, name="ionian-items", daemon=True)
        self._thread.start()

    def put(self, write: Write) -> None:
        """Has something carried out."""
        with self._there:
            self._waiting.append(write)
            if len(self._waiting) == 1:
                self._there.notify()

    async def stop(self) -> None:
        """Carries out what was put, and ends the thread."""
        with self._there:
            self._ending = True
            self._there.notify()
        await asyncio.to_thread(self._thread.join)

    # --- the thread

    def _run(self) -> None:
        while (group := self._next()) is not None:
            error = self._carry_out(group)
            if error is None or len(group) == 1:
                self._tell(group, error)
                continue
            for one in group:  # what the database does not take must not be the end of the others
                self._tell([one], self._carry_out([one]))

    def _next(self) -> list[Write] | None:
        group: list[Write] = []
        ops = size = 0
        with self._there:
            while not self._waiting:
                if self._ending:
                    return None
                self._there.wait()
            while self._waiting and size < GROUP_BYTES and ops < GROUP_OPS:
                one = self._waiting.popleft()
                if isinstance(one, Request):
                    ops += len(one.ops)
                    size += sum(len(value.data) for op in one.ops for value in op.values)
                group.append(one)
        return group

    def _carry_out(self, group: Sequence[Write]) -> StoreError | None:
        if faults.ARMED:
            faults.reach("items.received")
        try:
            self._items.carry_out(group)
        except StoreError as error:
            log.warning("operations on dicts and queues can't be carried out: %s", error)
            return error
        except Exception as error:
            log.exception("operations on dicts and queues can't be carried out")
            return StoreError(f"{type(error).__name__}: {error}")
        if faults.ARMED:
            faults.reach("items.committed")
        return None

    def _tell(self, group: Sequence[Write], error: StoreError | None) -> None:
        try:
            self._loop.call_soon_threadsafe(self._committed, group, error)
        except RuntimeError:
            log.info("the server ended before it heard of a commit")
