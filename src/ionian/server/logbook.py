"""What containers wrote, kept: whole lines, in files of bounded size per app, written on a thread of their own."""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from ..protocol.apps import SYSTEM, Log, LogLine
from ..protocol.lines import LineAssembler, Written
from .logfiles import Lines, LogFiles, Position, Query

log = logging.getLogger("ionian.server")

GATHER_S = 0.05
"""Output is written this much later, together with what came meanwhile: a write costs more than a line."""

BEHIND = 8 << 20
"""Bytes that wait to be written past which the writers have to wait, as for a follower that does not read."""

COMPLAIN_EVERY_S = 10.0
"""A full disk is said this often at most."""


@dataclass(frozen=True, slots=True)
class _Ended:
    """A container has ended: what it left without a newline is a line, too. `last` is a word of our own."""

    app_id: str
    function: str
    container_id: str
    last: str


_Item = tuple[float, Log, bytes] | _Ended | threading.Event | None


class LogBook:
    """The logs of all apps.

    ```python
    book.write(Log("ap-…", "f", "ta-…", 1), b"a line\n")
    found = await book.read("ap-…", Query(tail=100))
    later, over = await book.wait("ap-…", Query(), found.position, patience_s=20)
    ```
    """

    def __init__(self, folder: Path, clock: Callable[[], float] = time.time) -> None:
        self.files = LogFiles(folder)
        self.kept: list[Callable[[str], None]] = []
        """Told, on the thread, of each app that has more lines."""
        self._clock = clock
        self._queue: queue.SimpleQueue[_Item] = queue.SimpleQueue()
        self._waiting = 0  # bytes handed over
        self._written = 0  # bytes that the thread is done with
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._news: dict[str, asyncio.Event] = {}  # of apps that somebody follows
        self._assemblers: dict[tuple[str, int], tuple[LineAssembler, Log]] = {}  # the thread's
        self._lost = 0  # lines
        self._complained_at = -COMPLAIN_EVERY_S

    # --- on the loop

    @property
    def backlog(self) -> int:
        """Bytes that are not written yet."""
        return self._waiting - self._written

    def write(self, message: Log, payload: bytes) -> None:
        """Takes what a container wrote; returns at once."""
        self._waiting += len(payload)
        self._put((self._clock(), message, bytes(payload)))

    def ended(self, app_id: str, function: str, container_id: str, last: str = "") -> None:
        """A container will write nothing more. `last`: what is to be said of its end."""
        self._put(_Ended(app_id, function, container_id, last))
        self.nudge(app_id)

    async def read(self, app_id: str, query: Query) -> Lines:
        """The lines that were written until now, oldest first, and the position behind them."""
        await asyncio.to_thread(self.flush)
        return await asyncio.to_thread(self.files.read, app_id, query)

    async def wait(
        self,
        app_id: str,
        query: Query,
        position: Position,
        patience_s: float,
        over: Callable[[], Awaitable[bool]] | None = None,
    ) -> tuple[Lines, bool]:
        """The lines behind a position; where there are none yet, those that come next, or none in time.

        `over` says that no more will come: then it is not waited for them. Returns what it said, too.
        """
        self._loop = asyncio.get_running_loop()
        end = self._loop.time() + patience_s
        while True:
            news = self._news.setdefault(app_id, asyncio.Event())  # before we look: nothing falls in between
            ended = over is not None and await over()
            if ended:
                await asyncio.to_thread(self.flush)
            found = await asyncio.to_thread(self.files.read_on, app_id, query, position)
            position = found.position
            left = end - self._loop.time()
            if found.lines or ended or left <= 0:
                return found, ended
            try:
                await asyncio.wait_for(news.wait(), left)
            except asyncio.TimeoutError:
                return found, False

    def nudge(self, app_id: str) -> None:
        """Who waits for lines of this app looks again."""
        news = self._news.pop(app_id, None)
        if news is not None:
            news.set()

    def flush(self) -> None:
        """Waits until all that was handed over before is in the files. Blocks."""
        if self._thread is not None:
            done = threading.Event()
            self._queue.put(done)
            done.wait(30)

    def close(self) -> None:
        """Writes the rest, and what stands without a newline, and ends the thread."""
        if self._thread is not None:
            self._queue.put(None)
            self._thread.join(30)
            self._thread = None

    def _put(self, item: _Item) -> None:
        self._queue.put(item)
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="ionian-logs", daemon=True)
            self._thread.start()

    # --- on the thread

    def _run(self) -> None:
        open_ = True
        while open_:
            items = [self._queue.get()]
            urgent = isinstance(items[0], threading.Event) or items[0] is None
            if not urgent:
                time.sleep(GATHER_S)
            while True:
                try:
                    items.append(self._queue.get_nowait())
                except queue.Empty:
                    break
            open_ = None not in items
            try:
                self._work(items)
            except Exception:
                log.exception("keeping logs")
            for item in items:
                if isinstance(item, threading.Event):
                    item.set()

    def _work(self, items: list[_Item]) -> None:
        lines: dict[str, list[LogLine]] = defaultdict(list)
        size = 0
        for item in items:
            if isinstance(item, tuple):
                at, message, payload = item
                size += len(payload)
                self._take(lines[message.app_id], at, message, payload)
            elif isinstance(item, _Ended):
                self._end(lines[item.app_id], item)
            elif item is None:
                for container_id in {key[0] for key in self._assemblers}:
                    self._end_streams(lines, container_id)
        try:
            self._keep({app_id: found for app_id, found in lines.items() if found})
        finally:
            self._written += size

    def _take(self, lines: list[LogLine], at: float, message: Log, payload: bytes) -> None:
        key = (message.container_id, message.fd)
        if key not in self._assemblers:
            self._assemblers[key] = (LineAssembler(), message)
        lines += self._lines(self._assemblers[key][0].feed(payload), message, at)

    def _end(self, lines: list[LogLine], ended: _Ended) -> None:
        by_app = {ended.app_id: lines}
        self._end_streams(by_app, ended.container_id)
        if ended.last:
            about = Log(ended.app_id, ended.function, ended.container_id, SYSTEM)
            lines += self._lines([Written(ended.last)], about, self._clock())

    def _end_streams(self, lines: dict[str, list[LogLine]], container_id: str) -> None:
        for key in [key for key in self._assemblers if key[0] == container_id]:
            assembler, message = self._assemblers.pop(key)
            lines.setdefault(message.app_id, []).extend(
                self._lines(assembler.flush(), message, self._clock())
            )

    def _lines(self, written: list[Written], about: Log, at: float) -> list[LogLine]:
        function, container_id, fd = about.function, about.container_id, about.fd
        return [
            LogLine(at, function, container_id, fd, text, call_id, index) for text, call_id, index in written
        ]

    def _keep(self, lines: dict[str, list[LogLine]]) -> None:
        for app_id, found in lines.items():
            try:
                self.files.append(app_id, found)
            except (OSError, ValueError) as error:
                self._lost += len(found)
                if time.monotonic() - self._complained_at > COMPLAIN_EVERY_S:
                    self._complained_at = time.monotonic()
                    log.error("logs of app=%s: %s; lines not kept until now: %d", app_id, error, self._lost)
            for told in self.kept:
                told(app_id)
            if self._loop is not None and app_id in self._news and not self._loop.is_closed():
                self._loop.call_soon_threadsafe(self.nudge, app_id)
