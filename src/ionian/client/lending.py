"""The terminal of this process, lent to the containers of an app that it runs: `ionian run -i`.

A container that wants it gets a stream of its own; until that has ended, keys go there, and live rows rest.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Any

from ..exception import Error, InvalidError
from ..protocol.terminals import LendTerminal, TakeTerminal, TerminalWanted
from . import output
from .terminal import Program, at_terminal, on_terminal, size

if TYPE_CHECKING:
    from ..link import Link
    from .output.screen import Screen

END_S = 10.0
"""So long the end of a run waits for its terminal to be put back: a server that hangs must not keep the program."""


def check() -> None:
    """Raises InvalidError where there is no terminal to lend."""
    if output.current() is None:
        raise InvalidError(
            "Interactive mode requires output to be enabled: write `with modal.enable_output(), app.run(interactive=True):`"
        )
    if not on_terminal():
        raise InvalidError(
            "Interactive mode needs a terminal, and the standard input or output of this program is none: run it without "
            "interactive=True (-i)"
        )


class Lending:
    """From the beginning of a run to its end."""

    def __init__(self, link: Link, app_id: str, screen: Screen) -> None:
        self._link = link
        self._app_id = app_id
        self._screen = screen
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._program: Program | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._over = False
        self._undo: list[Callable[[], Any]] = []

    def begin(self) -> None:
        """Containers may ask from now on. Raises what the server refuses with."""
        self._undo.append(self._link.subscribe(TerminalWanted, self._wanted))
        if threading.current_thread() is threading.main_thread():
            before = signal.signal(signal.SIGWINCH, self._resized)
            self._undo.append(lambda: signal.signal(signal.SIGWINCH, before))
        self._link.request(LendTerminal(self._app_id))

    def end(self) -> None:
        """The terminal is as it was, and is not lent any more."""
        with self._lock:
            self._over = True
            thread = self._thread
        self._tell(lambda program: program.leave(signal.SIGHUP))
        if thread is not None:
            thread.join(END_S)
        for undo in self._undo:
            undo()
        self._undo.clear()

    def _resized(self, *_: object) -> None:
        self._tell(Program.resize)

    def _tell(self, what: Callable[[Program], None]) -> None:
        program, loop = self._program, self._loop
        if program is not None and loop is not None:
            with contextlib.suppress(RuntimeError):  # it has ended
                loop.call_soon_threadsafe(what, program)

    def _wanted(self, message: TerminalWanted, _: bytes) -> None:
        """On the connection's thread."""
        if message.app_id != self._app_id:
            return
        with self._lock:
            if not self._over:
                self._thread = threading.Thread(
                    target=self._lend, args=(message,), name="ionian-terminal", daemon=True
                )
                self._thread.start()

    def _lend(self, message: TerminalWanted) -> None:
        rows, columns = size()
        take = TakeTerminal(message.exec_id, rows, columns, os.environ.get("TERM", ""))
        self._screen.rest(True)
        try:
            asyncio.run(at_terminal(take, pty=True, running=self._running))
        except (Error, OSError) as error:
            print(f"The terminal could not be lent to {message.function}: {error}", file=sys.stderr)
        finally:
            self._screen.rest(False)

    @contextlib.contextmanager
    def _running(self, program: Program) -> Generator[None]:
        self._program, self._loop = program, asyncio.get_running_loop()
        if self._over:
            program.leave(signal.SIGHUP)
        try:
            yield
        finally:
            self._program = self._loop = None
