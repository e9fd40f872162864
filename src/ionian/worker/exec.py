"""Programs that persons run in containers of this worker: their input, their output, their end.

Both directions are bounded by a window: who sends has at most so many bytes on their way that the other side has not
said to have taken. So a slow terminal pauses the program, and nothing of what it writes is lost.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from ..protocol.apps import EXEC_WINDOW, ExecData, ExecEnded, ExecTaken, KillExec, ResizeExec, StartExec
from ..protocol.messages import Done
from ..protocol.stream import Peer, Refused
from .sandbox import Inside, Program, Sandbox, SandboxError

if TYPE_CHECKING:
    from .worker import Worker

log = logging.getLogger("ionian.worker")

CHUNK = 32 << 10
MOST = 64
"""Programs at once on one worker."""

KILLED = -9


class Exec:
    """One program, from its start to its last words."""

    def __init__(self, exec_id: str, inside: Inside, say: Callable[..., None]) -> None:
        self.exec_id = exec_id
        self._inside = inside
        self._say = say
        self._loop = asyncio.get_running_loop()
        self._ahead = 0  # bytes told that the person has not taken yet
        self._reading: dict[int, int] = dict(inside.outputs)  # 1, 2 → descriptor, until its end
        self._paused = False
        self._read_all = asyncio.Event()
        self._input = bytearray()
        self._input_ends = False
        self._writing = False
        self._unwanted = asyncio.Event()
        for number, fd in self._reading.items():
            self._loop.add_reader(fd, self._readable, number)

    async def live(self) -> None:
        """Until the program has ended and all that it wrote is on its way, or nobody wants it any more."""
        ended = asyncio.ensure_future(self._inside.wait())
        unwanted = asyncio.ensure_future(self._unwanted.wait())
        read_all = asyncio.ensure_future(self._read_all.wait())
        try:
            await asyncio.wait([ended, unwanted], return_when=asyncio.FIRST_COMPLETED)
            if ended.done():
                await asyncio.wait([read_all, unwanted], return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (ended, unwanted, read_all):
                task.cancel()
            # They let go of their descriptors first: a number that is closed under the loop would be deaf when used again.
            await asyncio.wait([ended, unwanted, read_all])
            self._close()
        if ended.done() and not ended.cancelled():
            code, reason = ended.result()
            if code is None:
                code, reason = KILLED, reason or "its container has ended"
            self._say(ExecEnded(self.exec_id, code, reason))

    def kill(self) -> None:
        """Nobody wants it any more."""
        self._unwanted.set()

    def resize(self, rows: int, columns: int) -> None:
        """The person's terminal has another size."""
        self._inside.resize(*_bounded(rows, columns))

    # --- what it writes

    def taken(self, size: int) -> None:
        """The person has taken so many bytes."""
        self._ahead -= min(size, self._ahead)
        if self._paused and self._ahead < EXEC_WINDOW:
            self._paused = False
            for number, fd in self._reading.items():
                self._loop.add_reader(fd, self._readable, number)

    def _readable(self, number: int) -> None:
        fd = self._reading[number]
        try:
            data = os.read(fd, min(CHUNK, EXEC_WINDOW - self._ahead))
        except BlockingIOError:
            return
        except OSError:
            data = b""  # a terminal that no program has open any more
        if not data:
            self._loop.remove_reader(fd)
            del self._reading[number]
            if not self._reading:
                self._read_all.set()
            return
        self._ahead += len(data)
        self._say(ExecData(self.exec_id, number), data)
        if self._ahead >= EXEC_WINDOW:
            self._paused = True
            for fd in self._reading.values():
                self._loop.remove_reader(fd)

    # --- what it reads

    def give(self, data: bytes) -> None:
        """What the person typed; nothing: there will be no more."""
        if len(self._input) + len(data) > EXEC_WINDOW:
            log.warning("exec=%s: its person sent more than the window holds", self.exec_id)
            self.kill()
            return
        self._input += data
        self._input_ends = self._input_ends or not data
        if self._input_ends and not data and self._inside.pty:
            self._input += b"\x04"
        if not self._writing:
            self._write()

    def _write(self) -> None:
        fd = self._inside.stdin
        taken = len(self._input)
        if fd >= 0 and self._input:
            try:
                taken = os.write(fd, self._input)
            except BlockingIOError:
                taken = 0
            except OSError:
                pass  # it reads no more: what is typed is dropped, as a shell's pipe does
        if taken:
            del self._input[:taken]
            self._say(ExecTaken(self.exec_id, taken))
        if self._input and not self._writing:
            self._writing = True
            self._loop.add_writer(fd, self._write)
        elif not self._input and self._writing:
            self._writing = False
            self._loop.remove_writer(fd)
        if not self._input and self._input_ends:
            self._inside.end_input()

    def _close(self) -> None:
        for fd in self._reading.values():
            self._loop.remove_reader(fd)
        if self._writing:
            self._loop.remove_writer(self._inside.stdin)
        self._reading.clear()
        self._writing, self._input_ends = False, False
        self._input.clear()
        self._inside.close()


class Execs:
    """All of them on this worker."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._running: dict[str, Exec] = {}
        self._starting: set[str] = set()
        self._unwanted: set[str] = set()  # of those that start: their persons went away already
        self._tasks: set[asyncio.Task[None]] = set()
        self._early: dict[
            str, list[tuple[Any, bytes]]
        ] = {}  # what is said to programs whose containers are being made

    def expect(self, exec_id: str) -> None:
        """A program will run under this id: what comes for it until then is kept."""
        self._early[exec_id] = []

    def forget(self, exec_id: str) -> None:
        """It did not come to that."""
        self._early.pop(exec_id, None)

    async def start(self, stream: Peer, message: StartExec, request: int) -> None:
        """Runs a program, and answers when it runs or why it does not."""
        try:
            sandbox, env, cwd = self._worker.insides_of(message.container_id)
            program = Program(message.argv, dict(env), cwd, message.pty, message.rows, message.columns)
            await self.run(message.exec_id, sandbox, program)
        except SandboxError as error:
            stream.refuse(request, "ExecutionError", str(error))
        except Refused as refused:
            stream.refuse(request, refused.type, refused.message)
        else:
            stream.reply(request, Done())

    async def run(self, exec_id: str, sandbox: Sandbox, program: Program) -> asyncio.Task[None]:
        """Runs a program in a sandbox; the task ends with it. Raises SandboxError, or Refused."""
        if len(self._running) + len(self._starting) >= MOST:
            raise Refused(
                "ResourceExhaustedError",
                f"{MOST} programs are run in containers of this worker already; end some of them",
            )
        if program.pty:
            program.env.setdefault("TERM", "xterm-256color")
        program.rows, program.columns = _bounded(program.rows, program.columns)
        self._starting.add(exec_id)
        try:
            inside = await sandbox.enter(program)
        finally:
            self._starting.discard(exec_id)
            unwanted = exec_id in self._unwanted
            self._unwanted.discard(exec_id)
        running = self._running[exec_id] = Exec(exec_id, inside, self._worker.say)
        for message, payload in self._early.pop(exec_id, ()):
            self.received(message, payload)
        if unwanted:
            running.kill()
        task = asyncio.ensure_future(running.live())
        self._tasks.add(task)
        task.add_done_callback(lambda task: self._ended(exec_id, task))
        return task

    def received(self, message: Any, payload: bytes) -> None:
        """What the server says about one of them. It may have ended meanwhile."""
        running = self._running.get(message.exec_id)
        if running is None:
            self._not_running(message, payload)
            return
        match message:
            case ExecData():
                running.give(payload)
            case ExecTaken(_, size):
                running.taken(size)
            case ResizeExec(_, rows, columns):
                running.resize(rows, columns)
            case KillExec():
                running.kill()
            case _:
                log.warning("unexpected %s", type(message).__name__)

    def _not_running(self, message: Any, payload: bytes) -> None:
        early = self._early.get(message.exec_id)
        if isinstance(message, KillExec):
            if message.exec_id in self._starting:
                self._unwanted.add(message.exec_id)
        elif early is not None and sum(len(kept) + 1 for _, kept in early) <= EXEC_WINDOW:
            early.append((message, payload))

    def kill_all(self) -> None:
        """Their persons can't be reached any more: the server was lost."""
        self._unwanted |= self._starting
        for running in list(self._running.values()):
            running.kill()

    def _ended(self, exec_id: str, task: asyncio.Task[None]) -> None:
        self._running.pop(exec_id, None)
        self._tasks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            log.error("exec=%s", exec_id, exc_info=task.exception())


def _bounded(rows: int, columns: int) -> tuple[int, int]:
    """A terminal's size as the kernel takes it."""
    return min(max(rows, 1), 9999), min(max(columns, 1), 9999)


Insides = tuple[Sandbox, Mapping[str, str], str]
"""A container as a program in it needs it: its sandbox, environment and folder."""
