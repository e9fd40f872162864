"""A fork that is made and waits, without any right, for the descriptors of the container that it will be."""

from __future__ import annotations

import asyncio
import os
import select
import signal
import socket
import struct
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from ...protocol.container import AHEAD
from . import scratch, soft
from .cgroup import Cgroup, Reading
from .idmap import IdMap
from .sandbox import remove_group
from .spec import Bind, Limits


@dataclass
class ForkSpec:
    """What is a fork's own; the rest is its template's. The folders above `binds` have to be open to anybody."""

    scratch: Path  # beside the template's: in the same folder
    limits: Limits = field(default_factory=Limits)
    hostname: str = "ionian"
    stdout: int = -1  # our descriptors; -1 is /dev/null
    stderr: int = -1
    pass_fds: dict[int, int] = field(default_factory=dict[int, int])  # number inside → our descriptor
    binds: list[Bind] = field(default_factory=list[Bind])
    devices: list[Bind] = field(default_factory=list[Bind])
    again: bool = False  # others like it will be wanted: one is made ahead, once this one has started

    def is_like(self, other: ForkSpec) -> bool:
        """Whether a fork made for one may become the other."""
        return (self.limits, self.hostname, self.binds, self.devices) == (
            other.limits,
            other.hostname,
            other.binds,
            other.devices,
        )


@dataclass(eq=False)
class Spare:
    """A fork that is complete but for its descriptors. Who has it gives them, or discards it."""

    spec: ForkSpec
    group: Cgroup | None
    pid: int
    pidfd: int
    way: socket.socket  # to the process of it that waits, and takes nothing but descriptors there
    gateway: object = None  # which joined its network
    _told: bool = False

    @property
    def lives(self) -> bool:
        """Whether nothing has ended it."""
        return not select.select([self.pidfd], [], [], 0)[0]

    async def go_ahead(self) -> bool:
        """Has it start its program as far as it can be without being a certain container's. False where that failed; then it
        has ended."""
        loop = asyncio.get_running_loop()
        self.way.setblocking(False)
        try:
            await loop.sock_sendall(self.way, AHEAD)
            return await loop.sock_recv(self.way, 1000) == AHEAD
        except ConnectionError:
            return False

    @property
    def memory_bytes(self) -> int:
        """The memory that it has beside its template's."""
        return self._read().memory_bytes

    def wasted_s(self) -> float:
        """The processor time that it has had, where nobody wants it any more: told once."""
        told, self._told = self._told, True
        return 0.0 if told else self._read().cpu_s

    def _read(self) -> Reading:
        return self.group.read() if self.group is not None else soft.read(self.pid, of_template=True)

    def give(self, spec: ForkSpec) -> socket.socket:
        """Makes it the container of `spec`, at its gate, and returns the gate. Raises OSError where it has ended."""
        ours, theirs = socket.socketpair()
        with ExitStack() as failed, theirs, self.way as way:
            failed.callback(ours.close)
            ours.setblocking(False)
            nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
            try:
                stdout = spec.stdout if spec.stdout >= 0 else nothing
                stderr = spec.stderr if spec.stderr >= 0 else nothing
                targets = {1: stdout, 2: stderr, **spec.pass_fds}
                fds = [theirs.fileno(), *targets.values()]
                socket.send_fds(way, [struct.pack(f"{len(targets)}i", *targets)], fds, socket.MSG_DONTWAIT)
            finally:
                os.close(nothing)
            failed.pop_all()
        return ours

    def kill(self) -> None:
        """Ends it, and has nothing to do with it any more."""
        self.way.close()
        self.end()

    def end(self) -> None:
        """Ends it."""
        try:
            signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
        except ProcessLookupError:
            pass  # it has ended

    async def discard(self, ids: IdMap) -> None:
        """Ends it and deletes what it has."""
        self.kill()
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        loop.add_reader(self.pidfd, ended.set)
        try:
            await ended.wait()
        finally:
            loop.remove_reader(self.pidfd)
            os.close(self.pidfd)
        await scratch.remove([self.spec.scratch], ids)
        await remove_group(self.group)
