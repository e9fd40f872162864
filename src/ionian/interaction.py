"""`modal.interact()` and `breakpoint()` in a container: the terminal of who runs the app, for the input that asks."""

from __future__ import annotations

import os
import sys
import threading
from typing import TYPE_CHECKING, Any

from . import execution, link
from .blocking import Blocking
from .exception import Error, ExecutionError, InvalidError

if TYPE_CHECKING:
    import socket

MEET_S = 30.0
"""For so long the program at the terminal may take to reach us, once it runs."""


def _interact() -> None:
    """Makes the terminal of who runs the app the standard input and output of this container, until the input ends.

    ```python
    @app.function()
    def explore():
        modal.interact()
        name = input("Which one? ")
    ```

    It needs `ionian run -i`, or `app.run(interactive=True)`. A further call within the same input does nothing.

    Raises InvalidError outside a container, and where the app does not run interactively.
    """
    if execution.is_local():
        raise InvalidError(
            "Interactivity only works inside a function's container: modal.interact() was called outside of one"
        )
    begin("modal.interact()")


interact = Blocking(_interact)


class Visit:
    """The terminal in the place of this process's standard streams, from its coming to its return."""

    def __init__(self, exec_id: str, connection: socket.socket, terminal: int) -> None:
        self.exec_id = exec_id
        self.there = True
        self.input = execution.current_input()  # None: not known, as in a thread of the user's
        self._connection = connection
        self._lock = threading.Lock()
        _flush()
        self._before = [os.dup(fd) for fd in (0, 1, 2)]
        for fd in (0, 1, 2):
            os.dup2(terminal, fd)
        os.close(terminal)
        threading.Thread(target=self._watch, name="ionian-terminal", daemon=True).start()

    def _watch(self) -> None:
        """The person may go away, and their terminal with them."""
        try:
            self._connection.recv(1)
        except OSError:
            pass
        self.leave()

    def leave(self) -> bool:
        """The streams are what they were. False: they are so already."""
        with self._lock:
            if not self.there:
                return False
            self.there = False
            _flush()
            for fd, before in enumerate(self._before):
                os.dup2(before, fd)
                os.close(before)
        import socket

        try:
            self._connection.shutdown(socket.SHUT_RDWR)  # wakes who watches
        except OSError:
            pass
        self._connection.close()
        return True


class _Process:
    def __init__(self) -> None:
        self.visit: Visit | None = None
        self.lock = threading.RLock()


_process = _Process()


def begin(what: str) -> None:
    """Gets the terminal, unless it is there. Raises InvalidError where there is none, in words about `what` asked."""
    with _process.lock:
        if _process.visit is None or not _process.visit.there:
            _process.visit = _meet(what)
            execution.after_input = end


def end(call_id: str, index: int) -> None:
    """An input has ended. If the terminal came for it, its person has it back when this returns."""
    with _process.lock:
        visit = _process.visit
        if visit is None or visit.input not in (None, (call_id, index)):
            return
        _process.visit = execution.after_input = None
    if visit.leave():
        from .protocol.terminals import ReturnTerminal

        try:
            link.current().request(ReturnTerminal(visit.exec_id))
        except Error:
            pass  # the server is gone, and the terminal with it


def _meet(what: str) -> Visit:
    import shutil
    import socket
    import tempfile

    from .protocol.terminals import Interact

    folder = tempfile.mkdtemp(prefix="ionian-terminal-", dir="/tmp")  # a socket's path is short
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            listener.bind(f"{folder}/meeting")
            listener.listen(1)
            listener.settimeout(MEET_S)
            try:
                answer: Any
                answer, _ = _ask(Interact(sys.executable, f"{folder}/meeting", what))
                connection, _ = listener.accept()
            except TimeoutError:
                raise ExecutionError(f"{what}: the terminal did not come within {MEET_S:.0f} s") from None
        connection.settimeout(None)
        _, fds, _, _ = socket.recv_fds(connection, 1, 1)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    if not fds:
        raise ExecutionError(f"{what}: the terminal went away")
    if os.environ.get("TERM", "dumb") == "dumb":
        os.environ["TERM"] = answer.term or "xterm-256color"
    return Visit(answer.exec_id, connection, fds[0])


def _ask(message: Any) -> Any:
    try:
        found = link.current()
    except ExecutionError:
        raise InvalidError(
            f"Cannot use {message.what} here: it works in the process that runs the function, and not in one that it started"
        ) from None
    return found.request(message)


def _flush() -> None:
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, ValueError, OSError):
            pass  # user code closed or replaced it


# --- for the container's agent


def install() -> None:
    """Has `breakpoint()` ask for the terminal first."""
    sys.breakpointhook = _breakpoint


def _breakpoint(*args: Any, **kwargs: Any) -> Any:
    chosen = os.environ.get("PYTHONBREAKPOINT", "")
    if chosen == "0":
        return None
    begin("breakpoint()")
    if chosen not in ("", "pdb.set_trace"):
        return sys.__breakpointhook__(*args, **kwargs)
    import pdb

    debugger = pdb.Pdb()
    if kwargs.get("header"):
        debugger.message(kwargs["header"])
    debugger.set_trace(sys._getframe(1))
    return None
