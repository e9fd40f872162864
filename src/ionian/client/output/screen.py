"""Where output goes: lines, and on a terminal a few live rows below them. One thread writes it all.

The connection's thread only appends to a queue: a slow terminal or a full pipe must not hold up results.
"""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import IO, NamedTuple

from .words import size

MAX_WAITING = 64 << 20
"""Characters of container output that may wait for a slow reader; what comes on top is counted, not shown."""

CATCH_UP_S = 1.0
"""So long a result waits for the lines before it: far longer than a busy machine needs, and a full pipe costs it once."""

REFRESH_S = 0.125
"""Between two drawings of the live rows."""

Style = str  # "", "dim", "red", "yellow", "green", "bold"
ANSI = {"dim": "2", "red": "31", "yellow": "33", "green": "32", "bold": "1"}


class Line(NamedTuple):
    """A complete line. `stream` is 1 or 2; `own` marks our messages among the containers' output."""

    text: str
    stream: int = 1
    style: Style = ""
    prefix: str = ""
    own: bool = False


class Row(NamedTuple):
    """A live row: what is going on, and how far it is where that is known."""

    text: str
    done: int | None = None
    total: int | None = None
    detail: str = ""


RowSource = Callable[[], "Row | None"]
"""Asked at each drawing; None hides the row."""


class Screen:
    """Plain lines in a pipe or file: containers' output on stdout and stderr, our messages on stderr."""

    live = False

    def __init__(self, out: IO[str] | None = None, err: IO[str] | None = None) -> None:
        self._out = out  # None: what sys.stdout is at the time
        self._err = err
        self._queue: deque[Line | threading.Event] = deque()
        self._waiting = 0
        self._skipped = 0
        self._wake = threading.Event()
        self._writing = False
        self._slow = False  # who reads was waited for in vain, and has not gone on since
        self._closed = False
        self._broken = False
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()

    def write(self, line: Line) -> None:
        """Puts a line in the queue, from any thread, and returns at once."""
        if not line.own:
            if self._waiting > MAX_WAITING:
                self._skipped += len(line.text)
                return
            self._waiting += len(line.text)
        self._queue.append(line)
        self._notice()

    def say(self, text: str, style: Style = "") -> None:
        """A message of ours; on stderr in a pipe, so that what the program prints stays clean."""
        for part in text.split("\n"):
            self.write(Line(part, 2, style, own=True))

    def show(self, key: str, row: RowSource) -> None:
        """Adds a live row; a pipe has none."""

    def drop(self, key: str) -> None:
        """Takes a live row away."""

    def rest(self, rest: bool) -> None:
        """Another program has the terminal: no live row is drawn, and lines end as a raw terminal needs it."""

    def flush(self, timeout_s: float = 10.0) -> None:
        """Waits until all that was queued before is written."""
        written = threading.Event()
        self._queue.append(written)
        self._notice()
        written.wait(timeout_s)

    def catch_up(self) -> None:
        """Waits until all that was queued before is written, unless who reads is slow: results are not held up for that."""
        if (self._queue or self._writing) and not self._slow:
            written = threading.Event()
            self._queue.append(written)
            self._notice()
            self._slow = not written.wait(CATCH_UP_S)

    def close(self) -> None:
        """Writes the rest and ends the thread."""
        self.flush()
        self._closed = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join(5.0)

    def _notice(self) -> None:
        if self._thread is None:
            with self._lock:
                if self._thread is None:
                    self._thread = threading.Thread(target=self._run, name="ionian-output", daemon=True)
                    self._thread.start()
        self._wake.set()

    def _run(self) -> None:
        while not self._closed:
            self._wake.wait(self._draw())
            self._wake.clear()
            self._write_waiting()
        self._draw()

    def _write_waiting(self) -> None:
        self._writing = True  # before the queue is empty: see catch_up
        lines: list[Line] = []
        marks: list[threading.Event] = []
        while self._queue:
            item = self._queue.popleft()
            if isinstance(item, Line):
                lines.append(item)
            else:
                marks.append(item)
        self._waiting -= sum(len(line.text) for line in lines if not line.own)
        if self._skipped:
            skipped, self._skipped = self._skipped, 0
            lines.append(
                Line(
                    f"… {size(skipped)} of output not shown: it came faster than it is read",
                    2,
                    "dim",
                    own=True,
                )
            )
        if lines and not self._broken:
            try:
                self._put(lines)
            except (OSError, ValueError):
                self._broken = True  # the reader went away, as under `| head`; the program goes on
        self._writing = self._slow = False
        for mark in marks:
            mark.set()

    def _put(self, lines: list[Line]) -> None:
        for stream, file in ((1, self._out or sys.stdout), (2, self._err or sys.stderr)):
            chosen = [line for line in lines if line.stream == stream]
            if chosen:
                colour = coloured(file)
                file.write("".join(f"{painted(line, colour)}\n" for line in chosen))
                file.flush()

    def _draw(self) -> float | None:
        """Draws live rows; returns the seconds until the next drawing, None where only a line wakes us."""
        return None


def coloured(file: IO[str]) -> bool:
    """Whether a file is a terminal that wants colours."""
    return file.isatty() and "NO_COLOR" not in os.environ and os.environ.get("TERM") != "dumb"


def painted(line: Line, colour: bool) -> str:
    """A line with its prefix and its colours."""
    if not colour:
        return line.prefix + line.text
    prefix = f"\x1b[2m{line.prefix}\x1b[0m" if line.prefix else ""
    return f"{prefix}\x1b[{ANSI[line.style]}m{line.text}\x1b[0m" if line.style in ANSI else prefix + line.text


def now_text() -> str:
    """The time of day, for `--timestamps`."""
    return time.strftime("%H:%M:%S ")
