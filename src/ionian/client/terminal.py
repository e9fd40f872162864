"""A program in a container at this terminal: what is typed goes there, what it writes comes here, and its exit code.

On a terminal the keys go to the program as they are, Ctrl-C too; the terminal is put back whatever happens.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import shutil
import signal
import sys
import termios
import threading
import tty
from collections.abc import Callable, Generator
from typing import Any

from .. import exception
from ..protocol.apps import EXEC_WINDOW, ExecData, ExecEnded, ExecTaken, KillExec, ResizeExec
from ..protocol.ids import new_id
from ..protocol.messages import Hello
from ..protocol.stream import ConnectionLost, Peer, Refused, dial
from ..version import VERSION

CHUNK = 32 << 10


def on_terminal() -> bool:
    """Whether a person sits in front of both ends of this process."""
    return os.isatty(0) and os.isatty(1)


def size() -> tuple[int, int]:
    """Rows and columns."""
    columns, rows = shutil.get_terminal_size()
    return rows, columns


def run(start: Any, *, pty: bool, started: Callable[[Any], None] = lambda reply: None) -> int:
    """Sends `start` (StartExec, StartReplay, StartShell) and stays until its program ends; returns its exit code.

    `started` gets the answer before the program has the terminal. Raises the `ionian.exception` of a refusal, and
    ConnectionError where the server is lost.
    """
    return _exit_code(asyncio.run(at_terminal(start, pty, started)))


async def at_terminal(
    start: Any,
    pty: bool,
    started: Callable[[Any], None] = lambda reply: None,
    running: Callable[[Program], contextlib.AbstractContextManager[None]] | None = None,
) -> ExecEnded:
    """The same, for who has a loop, and `running` in the place of the signals of this process; returns how it ended."""
    from .local import find_server

    url, token = await asyncio.to_thread(find_server)
    try:
        program = await dial(url, lambda: Program(start.exec_id))
    except Exception as error:
        raise exception.ConnectionError(f"no server answers at {url}: {error}") from None
    try:
        await program.request(Hello("client", token, VERSION, new_id("cl")))
        reply, _ = await program.request(start)
        started(reply)
        with _keys(raw=pty), running(program) if running is not None else _signals(program, pty=pty):
            return await program.live()
    except Refused as refused:
        kind = getattr(exception, refused.type, exception.RemoteError)
        raise kind(refused.message) from None
    except ConnectionLost:
        raise exception.ConnectionError(f"the server at {url} was lost") from None
    finally:
        program.disconnect()


def _exit_code(ended: ExecEnded) -> int:
    if ended.reason:
        print(f"The program was ended: {ended.reason}", file=sys.stderr)
    return ended.code if ended.code >= 0 else 128 - ended.code


class Program(Peer):
    """The stream of one program."""

    def __init__(self, exec_id: str) -> None:
        super().__init__()
        self.exec_id = exec_id
        self._written: asyncio.Queue[tuple[int, bytes] | ExecEnded] = asyncio.Queue()
        self._room = EXEC_WINDOW  # bytes that may be sent before the program takes some
        self._some_room = threading.Condition()
        self._over = False

    async def live(self) -> ExecEnded:
        """Passes on what is typed and what is written, until the program has ended. Raises ConnectionLost."""
        ended, over = os.pipe()
        keys = threading.Thread(target=self._type, args=(ended,), name="ionian-keys", daemon=True)
        keys.start()
        try:
            return await self._show()
        finally:
            with self._some_room:
                self._over = True
                self._some_room.notify()
            os.close(over)  # what is typed from now on is not the program's

    async def _show(self) -> ExecEnded:
        while True:
            piece = await self._written.get()
            if isinstance(piece, ExecEnded):
                if piece.exec_id != self.exec_id:
                    raise ConnectionLost("the stream ended before the program")
                return piece
            fd, data = piece
            try:
                await asyncio.to_thread(_write, fd, data)
            except OSError:  # the reader went away, as after `| head`
                self.send(KillExec(self.exec_id))
                return ExecEnded(self.exec_id, -signal.SIGPIPE)
            self.send(ExecTaken(self.exec_id, len(data)))

    def leave(self, number: int) -> None:
        """This process was told to end, and so is the program."""
        self.send(KillExec(self.exec_id))
        self._written.put_nowait(ExecEnded(self.exec_id, -number))

    def resize(self) -> None:
        """The window has another size."""
        self.send(ResizeExec(self.exec_id, *size()))

    def received(self, message: Any, request: int, payload: bytes) -> None:
        match message:
            case ExecData(_, fd):
                self._written.put_nowait((fd, payload))
            case ExecEnded():
                self._written.put_nowait(message)
            case ExecTaken(_, taken):
                with self._some_room:
                    self._room += taken
                    self._some_room.notify()
            case _:
                pass  # news of apps, which nobody asked for here

    def closed(self) -> None:
        self._written.put_nowait(ExecEnded("", 0))

    def _type(self, ended: int) -> None:
        """In a thread: a loop can't wait for a file as standard input."""
        poll = select.poll()
        for fd in (0, ended):
            poll.register(fd, select.POLLIN)
        try:
            while (data := self._typed(poll, ended)) is not None:
                self._loop.call_soon_threadsafe(self.send, ExecData(self.exec_id, 0), data)
                if not data:
                    break
        except RuntimeError:
            pass  # the loop has ended
        finally:
            os.close(ended)

    def _typed(self, poll: select.poll, ended: int) -> bytes | None:
        """What was typed, nothing at its end; None once the program has ended."""
        with self._some_room:
            self._some_room.wait_for(lambda: self._room > 0 or self._over)
            room = self._room
        if any(fd == ended for fd, _ in poll.poll()) or self._over:
            return None
        try:
            data = os.read(0, min(CHUNK, room))
        except OSError:
            data = b""
        with self._some_room:
            self._room -= len(data)
        return data


def _write(fd: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(1 if fd == 1 else 2, view) :]


@contextlib.contextmanager
def _keys(*, raw: bool) -> Generator[None]:
    """Has each key reach the program as it is; puts the terminal back."""
    if not (raw and os.isatty(0)):
        yield
        return
    before = termios.tcgetattr(0)
    try:
        tty.setraw(0)
        yield
    finally:
        termios.tcsetattr(0, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _signals(program: Program, *, pty: bool) -> Generator[None]:
    """Told to end, this process ends the program and puts the terminal back first."""
    loop = asyncio.get_running_loop()
    handlers: dict[int, Callable[[], None]] = {
        number: lambda number=number: program.leave(number)
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
    }
    if pty:
        handlers[signal.SIGWINCH] = program.resize
    for number, handler in handlers.items():
        loop.add_signal_handler(number, handler)
    try:
        yield
    finally:
        for number in handlers:
            loop.remove_signal_handler(number)
