"""A program that a person runs in a sandbox beside what runs there: started, read, written, ended."""

from __future__ import annotations

import asyncio
import base64
import fcntl
import json
import os
import resource
import socket
import stat
import struct
import sys
import termios
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from .cgroup import Cgroup
from .enter import CONTROL_FD, PID_FD, SPEC_FD
from .idmap import IdMap
from .seccomp import build_filter
from .spawner import Spawner
from .spec import FILES, SandboxError

SCRIPT = Path(__file__).with_name("enter.py")
TERMINALS = (5, 136, 137, 138, 139, 140, 141, 142, 143)
"""Majors of terminal devices: the other side of a terminal is 5:2, or 136 and up where the kernel says so."""


@dataclass
class Program:
    """What is run, and how."""

    argv: list[str]
    env: dict[str, str] = field(default_factory=dict[str, str], repr=False)
    cwd: str = "/"
    pty: bool = False
    rows: int = 24
    columns: int = 80
    pass_fds: dict[int, int] = field(default_factory=dict[int, int])  # number inside → our descriptor


class Inside:
    """A program that runs. `stdin` and `outputs` (1, 2 → descriptor) are ours and don't block; a terminal is both."""

    def __init__(self, control: socket.socket, stdin: int, outputs: dict[int, int], *, pty: bool) -> None:
        self.stdin = stdin
        self.outputs = outputs
        self.pty = pty
        self._control = control

    async def wait(self) -> tuple[int | None, str]:
        """The program's exit status, or minus its signal; None where it ended with its sandbox, or for the reason."""
        said = await _next(self._control)
        if said.startswith(b"end "):
            return int(said[4:]), ""
        return None, said.removeprefix(b"failed ").decode(errors="replace")

    def resize(self, rows: int, columns: int) -> None:
        """The person's terminal has another size; programs hear it by SIGWINCH."""
        if self.pty and self.stdin >= 0:
            fcntl.ioctl(self.stdin, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def end_input(self) -> None:
        """Nothing more will be written. A terminal hears it as Ctrl-D."""
        if not self.pty and self.stdin >= 0:
            os.close(self.stdin)
            self.stdin = -1

    def close(self) -> None:
        """Lets go of it: a program that still runs is hung up on, and then killed."""
        for fd in {self.stdin, *self.outputs.values()} - {-1}:
            os.close(fd)
        self.stdin, self.outputs = -1, {}
        self._control.close()


async def enter(spawner: Spawner, ids: IdMap, pidfd: int, group: Cgroup | None, program: Program) -> Inside:
    """Runs a program in the sandbox whose first process is `pidfd`. Raises SandboxError."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    with ExitStack() as given, ExitStack() as kept:
        given.callback(theirs.close)
        kept.callback(ours.close)
        spec = _memory(_spec(program), given)
        fds = {SPEC_FD: spec, PID_FD: pidfd, CONTROL_FD: theirs.fileno(), **program.pass_fds}
        stdin, outputs = _streams(program, fds, given, kept)
        request = {
            "do": "enter",
            "cgroups": group.joins if group else [],
            "files": min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
            "targets": list(fds),
            "process": PID_FD,
            "argv": [sys.executable, "-I", "-S", str(SCRIPT)],
        }
        await spawner.run(request, ids, list(fds.values()))
        given.close()
        if program.pty:
            stdin = await _terminal(ours, kept)
            outputs = {1: stdin}
        said = await _next(ours)
        if said != b"started":
            raise SandboxError(_reason(said))
        kept.pop_all()
        return Inside(ours, stdin, outputs, pty=program.pty)


def _spec(program: Program) -> bytes:
    spec = {
        "argv": program.argv,
        "env": program.env,
        "cwd": program.cwd,
        "pty": program.pty,
        "rows": program.rows,
        "columns": program.columns,
        "fds": list(program.pass_fds),
        "seccomp": base64.b64encode(build_filter()).decode(),
    }
    return json.dumps(spec).encode()


def _streams(
    program: Program, fds: dict[int, int], given: ExitStack, kept: ExitStack
) -> tuple[int, dict[int, int]]:
    """Adds the program's 0, 1 and 2 to what it is given; returns our ends."""
    if program.pty:
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        given.callback(os.close, nothing)
        fds.update(dict.fromkeys((0, 1, 2), nothing))
        return -1, {}
    ends: dict[int, int] = {}
    for number in (0, 1, 2):
        read, write = os.pipe2(os.O_CLOEXEC)
        ours, theirs = (write, read) if number == 0 else (read, write)
        os.set_blocking(ours, False)
        kept.callback(os.close, ours)
        given.callback(os.close, theirs)
        fds[number], ends[number] = theirs, ours
    return ends.pop(0), ends


async def _terminal(control: socket.socket, kept: ExitStack) -> int:
    """The other side of the program's terminal."""
    await _readable(control)
    said, fds, _, _ = socket.recv_fds(control, 4096, 1, socket.MSG_CMSG_CLOEXEC)
    if said != b"terminal" or not fds:
        raise SandboxError(_reason(said))
    kept.callback(os.close, fds[0])
    status = os.fstat(fds[0])
    if not stat.S_ISCHR(status.st_mode) or os.major(status.st_rdev) not in TERMINALS:
        raise SandboxError("the container gave something else in place of a terminal")
    os.set_blocking(fds[0], False)
    return fds[0]


def _reason(said: bytes) -> str:
    text = said.removeprefix(b"failed ").decode(errors="replace")
    return f"the program could not be run in the container: {text or 'the container has ended'}"


async def _next(control: socket.socket) -> bytes:
    """The next packet; b"" at the end."""
    await _readable(control)
    try:
        return control.recv(4096)
    except OSError:
        return b""


async def _readable(control: socket.socket) -> None:
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(control.fileno(), ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(control.fileno())


def _memory(data: bytes, given: ExitStack) -> int:
    fd = os.memfd_create("ionian")
    given.callback(os.close, fd)
    view = memoryview(data)
    while view:
        view = view[os.write(fd, view) :]
    os.lseek(fd, 0, os.SEEK_SET)
    return fd
