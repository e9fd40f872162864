"""What user code prints carries the input that printed it: marks in the pipe, put there by `sys.stdout` and `stderr`.

An input is known by the context (a task, a thread of an input), and where one runs at a time by that. What a program
that it started writes is known only where one runs at a time; what C code writes by itself is not.
"""

from __future__ import annotations

import io
import os
import stat
import sys
from _thread import RLock
from collections.abc import Callable
from contextvars import ContextVar
from typing import Any

from .. import execution
from ..protocol.marks import BEGIN, ENDED, LENT, OVER, mark

PIPE_BUF = 4096
"""So much is written to a pipe at once, and nothing of others comes in between."""

_END = mark(OVER)

_shared: ContextVar[bytes | None] = ContextVar("ionian_shared", default=None)


class Marks:
    """The streams of this process, and whose output they take."""

    def __init__(self) -> None:
        self.wrote = False  # anything since the last `settle`
        self._running: Callable[[], execution.Input | None] | None = None  # where one input runs at a time
        self._lends = False
        self._lent = b""
        self._known: tuple[execution.Input | None, bytes] = (None, b"")
        self._streams: list[io.TextIOWrapper] = []
        self._pipes: list[MarkedPipe] = []

    def install(self) -> None:
        """Puts marking streams in the place of `sys.stdout` and `sys.stderr`, where these lead to a pipe."""
        if self._streams:
            return
        for name, fd in (("stdout", 1), ("stderr", 2)):
            old: Any = getattr(sys, name)
            if not isinstance(old, io.TextIOWrapper) or not stat.S_ISFIFO(os.fstat(fd).st_mode):
                continue
            old.flush()
            pipe = MarkedPipe(fd, f"<{name}>")
            stream = io.TextIOWrapper(
                MarkedWriter(pipe, self),
                encoding=old.encoding,
                errors=old.errors,
                line_buffering=True,
                write_through=True,
            )
            stream.mode = "w"  # type: ignore[attr-defined]
            setattr(sys, name, stream)
            setattr(sys, f"__{name}__", stream)
            self._streams.append(stream)
            self._pipes.append(pipe)
        if self._streams:
            os.register_at_fork(after_in_child=self._forked)

    def begin(self, running: Callable[[], execution.Input | None] | None = None) -> None:
        """Inputs are run from here on. `running`: says which one, where it is one at a time."""
        for pipe in self._pipes:
            pipe.look()
        self._running = running
        self._lends = running is not None and bool(self._pipes)
        self._lent = b""
        if self._lends:
            from .after_import import after_import

            after_import({"subprocess": self._lend_to_programs})

    def key(self) -> bytes:
        """Of the input that this code runs for; empty where that is not known."""
        current = execution.current_input()
        if self._running is not None:
            running = self._running()
            if running is None:
                return b""
            current = current or running
        if current is None:
            return b""
        shared = _shared.get()
        if shared is not None:
            return shared
        known, key = self._known
        if known is not current:
            key = f"{current[0]}:{current[1]}".encode()
            self._known = (current, key)
        return key

    def settle(self, call_id: str, index: int) -> None:
        """An input has ended: what it printed leaves, also a line without an end."""
        key = f"{call_id}:{index}".encode()
        if self._running is not None:
            self.wrote = False  # else others may have written, too
        for stream, pipe in zip(self._streams, self._pipes, strict=True):
            try:
                stream.flush()
                if key in pipe.unfinished:
                    pipe.unfinished.discard(key)
                    pipe.say(mark(ENDED, key))
                if self._lent:
                    pipe.say(mark(LENT))
            except (ValueError, OSError):
                pass  # user code closed it
        self._lent = b""

    # --- programs that an input starts

    def _lend_to_programs(self, subprocess: Any) -> None:
        start = subprocess.Popen.__init__
        if getattr(start, "lends", False):
            return

        def lending(popen: Any, *args: Any, **kwargs: Any) -> None:
            self.lend()
            start(popen, *args, **kwargs)

        lending.__wrapped__ = start  # type: ignore[attr-defined]
        lending.__doc__ = start.__doc__
        lending.lends = True  # type: ignore[attr-defined]
        subprocess.Popen.__init__ = lending

    def lend(self) -> None:
        """What is written without marks is the running input's, until it has ended."""
        if not self._lends:
            return
        key = self.key()
        if not key or key == self._lent:
            return
        self._lent, self.wrote = key, True
        for stream, pipe in zip(self._streams, self._pipes, strict=True):
            try:
                stream.flush()
                pipe.say(mark(LENT, key))
            except (ValueError, OSError):
                pass

    def _forked(self) -> None:
        """In a child: no other thread is here that could hold a lock, and its parent says what is lent."""
        self._lends = False
        for stream in self._streams:
            try:
                writer: Any = stream.buffer
            except ValueError:
                continue
            writer.lock = RLock()


class MarkedPipe(io.FileIO):
    """A descriptor, into which each piece is written with the marks of its input."""

    def __init__(self, fd: int, name: str) -> None:
        super().__init__(fd, "wb", closefd=False)
        self.name = name
        self.key = b""  # of what is written next
        self.unfinished: set[bytes] = set()  # whose last line has no end
        self.look()

    def look(self) -> None:
        """Remembers which pipe this is: user code may put a file in its place, which gets no marks."""
        self._pipe = _identity(self.fileno())

    def write(self, data: Any, /) -> int | None:
        """Writes it, in pieces that nothing can come in between."""
        key = self.key
        if not key or _identity(self.fileno()) != self._pipe:
            return super().write(data)
        head = mark(BEGIN, key)
        room = PIPE_BUF - len(head) - len(_END)
        view = memoryview(data).cast("B")
        at = 0
        while at < len(view):
            part = view[at : at + room]
            if super().write(b"".join((head, part, _END))) is None:  # user code made it non-blocking
                return at or None
            at += len(part)
        if at and view[-1] != 10:
            self.unfinished.add(key)
        else:
            self.unfinished.discard(key)
        return at

    def say(self, said: bytes) -> None:
        """Writes a mark."""
        if _identity(self.fileno()) == self._pipe:
            super().write(said)


class MarkedWriter(io.BufferedWriter):
    """Holds what one input wrote: it leaves before another's comes."""

    def __init__(self, pipe: MarkedPipe, marks: Marks) -> None:
        super().__init__(pipe)
        self.lock = RLock()
        self._marked = pipe
        self._marks = marks

    def write(self, data: Any, /) -> int:
        """Takes what the current input writes."""
        key = self._marks.key()
        with self.lock:
            if key != self._marked.key:
                self.flush()
                self._marked.key = key
            self._marks.wrote = True
            return super().write(data)


def share(call_id: str) -> None:
    """Code of this context runs for several inputs: of one call, or, with none, of several."""
    _shared.set(f"{call_id}:".encode() if call_id else b"")


def _identity(fd: int) -> tuple[int, int]:
    found = os.fstat(fd)
    return found.st_dev, found.st_ino


marks = Marks()
