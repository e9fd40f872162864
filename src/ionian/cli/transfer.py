"""How sending or fetching many files is doing: a line on a terminal, and what it came to."""

from __future__ import annotations

import sys
import threading
import time
from types import TracebackType
from typing import Any

from ..client.output.words import count, duration, size


class Transfer:
    """A block that counts files and bytes as they go, from any thread; on a terminal it shows them."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._begun = time.monotonic()
        self._files = 0
        self._bytes = 0
        self._lock = threading.Lock()
        self._bar: Any = None
        self._row: Any = None

    def __enter__(self) -> Transfer:
        if sys.stderr.isatty():
            self._show()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def expect(self, files: int, amount: int) -> None:
        """So much there will be."""
        with self._lock:
            if self._bar is not None:
                self._bar.update(self._row, total=max(amount, 1), files=f"of {count(files, 'file')}")

    def moved(self, files: int, amount: int) -> None:
        """So many files more are there, and so many bytes."""
        with self._lock:
            self._files += files
            self._bytes += amount
            if self._bar is not None:
                self._bar.update(self._row, completed=self._bytes, done=self._files)

    def done(self) -> str:
        """What it came to: `12 files, 3.4 MB in 0.4 s`."""
        seconds = time.monotonic() - self._begun
        return f"{count(self._files, 'file')}, {size(self._bytes)} in {duration(seconds)}"

    def _show(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

        self._bar = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TextColumn("{task.fields[done]} {task.fields[files]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._row = self._bar.add_task(self._what, total=None, done=0, files="files")
        self._bar.start()
