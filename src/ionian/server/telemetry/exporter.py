"""A thread that takes what is to be exported from a bounded queue, and hands it on in batches: a collector that is slow or
dead delays nobody, and what it could not be given is counted."""

from __future__ import annotations

import logging
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

log = logging.getLogger("ionian.server")

GATHER_S = 1.0
"""What is there is exported so much later, together with what came meanwhile."""

MOST_WAITING = 20_000
"""Past it what comes is dropped: a span takes about a kilobyte."""

MOST_AT_ONCE = 1_000

LAST_S = 3.0
"""At the end of the server what is left has so long."""

T = TypeVar("T")


class Exporter(Generic[T]):
    """`put` from the event loop; `export` is called on the thread, and says whether the collector has it."""

    def __init__(self, what: str, export: Callable[[Sequence[T]], bool]) -> None:
        self._what = what
        self._export = export
        self._waiting: deque[T] = deque()
        self._ending = threading.Event()
        self._failing = False
        self.exported = 0
        self.dropped = 0
        self._thread = threading.Thread(target=self._run, name=f"ionian-otel-{what}", daemon=True)
        self._thread.start()

    def put(self, items: Sequence[T]) -> None:
        """Has something exported; comes back at once."""
        room = MOST_WAITING - len(self._waiting)
        if len(items) > room:
            self.dropped += len(items) - room
            items = items[:room]
        self._waiting.extend(items)

    def stop(self) -> None:
        """Exports what is left, if the collector takes it, and ends the thread. Blocks for a few seconds at most."""
        self._ending.set()
        self._thread.join(LAST_S)

    def _run(self) -> None:
        ending = False
        while not ending:
            ending = self._ending.wait(GATHER_S)
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(len(self._waiting), MOST_AT_ONCE))]
                self._take(batch)

    def _take(self, batch: list[T]) -> None:
        try:
            done = self._export(batch)
        except Exception as error:
            log.debug("exporting %s", self._what, exc_info=error)
            done = False
        if done:
            self.exported += len(batch)
        else:
            self.dropped += len(batch)
        if done is self._failing:  # it is otherwise than it was
            self._failing = not done
            if done:
                log.info("the collector takes %s again; dropped until now: %d", self._what, self.dropped)
            else:
                log.warning(
                    "the collector of OpenTelemetry does not take %s; they are dropped until it does",
                    self._what,
                )
