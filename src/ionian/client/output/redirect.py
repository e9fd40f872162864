"""While live rows are drawn, what the program itself prints goes the way of all lines: above the rows."""

from __future__ import annotations

import io
import sys
import threading
from collections.abc import Callable
from typing import Any


class Redirect(io.TextIOBase):
    """Stands in for `sys.stdout` or `sys.stderr`. Complete lines are passed on; once ended, it is the file itself.

    Whoever still holds it later, such as a logging handler, keeps a working file.
    """

    def __init__(self, name: str, pass_on: Callable[[str], None]) -> None:
        self.lock = threading.RLock()
        self._name = name
        self._file: Any = getattr(sys, name)
        self._pass_on = pass_on
        self._pending = ""
        self._ended = False
        setattr(sys, name, self)

    def write(self, text: str, /) -> int:
        """Takes text; a line that is not complete waits for its end."""
        with self.lock:
            if self._ended:
                return self._file.write(text)
            *lines, self._pending = (self._pending + text).split("\n")
            for line in lines:
                self._pass_on(line)
        return len(text)

    def flush(self) -> None:
        """Flushes the file; lines are on their way already."""
        self._file.flush()

    def end(self) -> None:
        """Gives the file back, and writes what has no newline yet. Hold the lock from the last drawing to here."""
        with self.lock:
            if self._ended:
                return
            self._ended = True
            if getattr(sys, self._name) is self:
                setattr(sys, self._name, self._file)
            if self._pending:
                self._file.write(self._pending)
                self._file.flush()

    def isatty(self) -> bool:
        return self._file.isatty()

    def fileno(self) -> int:
        return self._file.fileno()

    def writable(self) -> bool:
        return True

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return self._file.encoding

    @property
    def buffer(self) -> Any:
        """The bytes below: what is written there comes in between the rows."""
        return self._file.buffer
