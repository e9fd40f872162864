"""One thread that writes to the store in groups: what comes while a commit is under way is committed together by the next,
so that one sync to disk serves thousands of writes. Nothing is waited for to make a group larger."""

from __future__ import annotations

import asyncio
import logging
import threading
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from .store.database import StoreError, StoreRefused

log = logging.getLogger("ionian.server")

GROUP_BYTES = 16 << 20
"""A group is closed at this size, so that nobody waits for seconds for the sync of others."""

W = TypeVar("W")


class Groups(ABC, Generic[W]):
    """`put` from the event loop; `committed` is called there, with groups in the order in which they were put.

    What derives from it says in `run` what becomes of the groups that `take` gives, one after the other.
    """

    def __init__(
        self, name: str, most: int, committed: Callable[[Sequence[W], StoreError | None], None]
    ) -> None:
        """`most`: a group is closed at this number of operations, too."""
        self._what = name
        self._most = most
        self._committed = committed
        self._loop = asyncio.get_running_loop()
        self._waiting: deque[tuple[W, int, int]] = deque()  # each with its size
        self.waiting_bytes = 0
        self._there = threading.Condition()
        self.ending = False
        self._thread = threading.Thread(target=self.run, name=f"ionian-{name}", daemon=True)
        self._thread.start()

    def put(self, *writes: W) -> None:
        """Has something written."""
        sized = [(write, *self.size(write)) for write in writes]
        with self._there:
            if not self._waiting:
                self._there.notify()
            self._waiting.extend(sized)
            self.waiting_bytes += sum([one[1] for one in sized])

    async def stop(self) -> None:
        """Writes what was put, and ends the thread."""
        with self._there:
            self.ending = True
            self._there.notify()
        await asyncio.to_thread(self._thread.join)

    # --- for who derives: on the thread, but for `size`

    @abstractmethod
    def size(self, write: W) -> tuple[int, int]:
        """About how many bytes something takes, and how many operations it is."""

    @abstractmethod
    def write(self, group: Sequence[W]) -> None:
        """Writes a group, all or nothing of it; it is on disk when this returns. Raises StoreError."""

    @abstractmethod
    def run(self) -> None:
        """Writes groups until `take` gives none."""

    def take(self, kept: Sequence[W] = ()) -> list[W] | None:
        """The next group, behind what was kept of the last; waits for one. None: nothing comes any more."""
        group, size, number = list(kept), 0, len(kept)
        with self._there:
            while not self._waiting and not group:
                if self.ending:
                    return None
                self._there.wait()
            while self._waiting and size < GROUP_BYTES and number < self._most:
                one, taken, operations = self._waiting.popleft()
                size, number = size + taken, number + operations
                group.append(one)
            self.waiting_bytes -= size
        return group

    def attempt(self, group: Sequence[W]) -> StoreError | None:
        """Writes a group; returns the error where it can't be written."""
        try:
            self.write(group)
        except StoreError as error:
            log.warning("%s can't be written: %s", self._what, error)
            return error
        except Exception as error:
            log.exception("%s can't be written", self._what)
            return StoreRefused(f"{type(error).__name__}: {error}")
        return None

    def tell(self, group: Sequence[W], error: StoreError | None) -> None:
        """Says on the event loop what became of a group."""
        try:
            self._loop.call_soon_threadsafe(self._committed, group, error)
        except RuntimeError:
            log.info("the server ended before it heard of a commit")
