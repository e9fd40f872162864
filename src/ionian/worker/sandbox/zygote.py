"""A template in a sandbox, and the sandboxes that are forked from it: complete ones, in a few milliseconds.

    zygote = await start_zygote(spec)      # spec.argv: a program that calls container.fork.Forks.wait()
    zygote.go()
    box = await zygote.fork(ForkSpec(…))   # at its gate, like one of start()
    box.go()

What a fork shares with its template is memory, image, environment of the program, volumes and the user namespace above
its own. Everything else is its own: all other namespaces, root, /tmp, /dev, cgroup, descriptors.
"""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...protocol.container import FORK_FD
from . import scratch
from .sandbox import Sandbox, make_group, processes_of, remove_group, start_as
from .spawner import End
from .spec import Bind, Limits, SandboxError, SandboxSpec
from .warden_link import ForkError, Unborn, WardenLink

AT_ONCE = 4
"""Forks of one template under way together: what one process makes after the other overlaps with the rest of it."""

END = 40
"""Kills the program of a template alone: see container/init.py."""


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


async def start_zygote(spec: SandboxSpec) -> Zygote:
    """Makes a sandbox whose program can be forked once it has been let go. Raises SandboxError."""
    warden_end, template_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with warden_end, template_end:
        fds = {**spec.pass_fds, FORK_FD: template_end.fileno()}
        zygote = await start_as(Zygote, replace(spec, as_template=True, pass_fds=fds))
        try:
            # Before any code of the image's runs.
            first = (zygote.pid, zygote.pidfd)
            await zygote.link.start(
                zygote._spawner, zygote.spec, zygote._ids, first, warden_end.fileno(), zygote._resolver
            )
        except BaseException:
            await zygote.remove()
            raise
        return zygote


class Zygote(Sandbox):
    """A sandbox whose program can be forked. What it has of Sandbox is about the template itself; its end, for wait()
    and remove(), is that of the last fork."""

    def __init__(self, *parts: Any) -> None:
        super().__init__(*parts)
        self.link = WardenLink()
        self._meter.forks = lambda: set(self._forks.values()) or {0}
        self._forks: dict[int, int] = {}  # descriptor that tells its end → pid
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._late = 0  # forks that took too long
        self._ahead: Unborn | None = None

    @property
    def forks(self) -> int:
        """How many of its forks live."""
        return len(self._forks)

    def go(self) -> None:
        """Lets the template run; what is asked of fork() from now on is done once it waits for it."""
        super().go()
        self._conceive_ahead()

    async def fork(self, spec: ForkSpec, timeout_s: float = 5.0) -> Sandbox:
        """A sandbox at its gate, forked from the template as it is now. Raises ForkError.

        `timeout_s` is for the fork alone: it may have to wait until others are done. If one of these took too long, it does not
        try.
        """
        beside = self.spec.scratch.parent
        if spec.scratch.parent != beside:
            raise ValueError(
                f"expected the scratch folder of a fork in {beside}, beside its template's, got {spec.scratch}"
            )
        late = self._late
        try:
            scratch.prepare(spec.scratch, self._ids)
            async with self._slots:
                if self._late != late:
                    raise ForkError("the template did not fork: it does not answer")
                try:
                    async with asyncio.timeout(timeout_s):
                        return await self._fork(spec)
                except TimeoutError:
                    self._late += 1
                    raise
        except BaseException as error:
            await asyncio.shield(scratch.remove([spec.scratch], self._ids))
            if isinstance(error, TimeoutError):
                raise ForkError(f"the template did not fork within {timeout_s:g} s") from None
            if isinstance(error, (SandboxError, OSError)) and not isinstance(error, ForkError):
                raise ForkError(str(error)) from None
            raise

    async def _fork(self, spec: ForkSpec) -> Sandbox:
        unborn = await self._next_unborn()
        try:
            if unborn.group:
                unborn.group.limit(spec.limits)
            with ExitStack() as given, ExitStack() as kept:
                ours, theirs = socket.socketpair()
                given.callback(theirs.close)
                kept.callback(ours.close)
                ours.setblocking(False)
                wanted, fds = _wanted(spec, theirs.fileno(), given)
                wanted["processes"] = processes_of(spec.limits, unborn.group)
                pid, pidfd = await self.link.bear(unborn, wanted, fds)
                await self._join_network(pid)
                kept.pop_all()
        except BaseException:
            await asyncio.shield(self._call_off(unborn))
            raise
        self._conceive_ahead()
        made = replace(
            self.spec,
            scratch=spec.scratch,
            limits=spec.limits,
            hostname=spec.hostname,
            pass_fds=spec.pass_fds,
            as_template=False,
        )
        end = self._end_of(pid, pidfd)
        box = Sandbox(
            made, self._ids, self._spawner, 0, end, ours.detach(), pid, pidfd, unborn.group, self._resolver
        )
        box._meter.of_template = True
        return box

    async def _join_network(self, pid: int) -> None:
        """Where the template has a network of its own, the fork has made itself an empty one."""
        if self._resolver is not None and self._spawner.network is not None:
            namespace = os.open(f"/proc/{pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)
            try:
                await self._spawner.network.join(namespace)
            finally:
                os.close(namespace)

    async def _next_unborn(self) -> Unborn:
        unborn, self._ahead = self._ahead, None
        if unborn is not None and unborn.failed:
            await self._call_off(unborn)
            unborn = None
        return unborn or self._conceive()

    def _conceive_ahead(self) -> None:
        """Begins the next fork before it is wanted; see warden.py."""
        if self._ahead is None and not self.link.closed:
            try:
                self._ahead = self._conceive()
            except (ForkError, OSError):
                pass  # fork() will say why

    def _conceive(self) -> Unborn:
        group = make_group(Limits())
        try:
            return self.link.conceive(group)
        except BaseException:
            if group:
                group.remove()
            raise

    async def _call_off(self, unborn: Unborn) -> None:
        await self.link.call_off(unborn)
        await remove_group(unborn.group)

    def _end_of(self, pid: int, pidfd: int) -> asyncio.Future[End]:
        """A future of the end of a fork's first process, and with it of all in it."""
        loop = asyncio.get_running_loop()
        end: asyncio.Future[End] = loop.create_future()
        watched = os.dup(pidfd)
        self._forks[watched] = pid

        def ended() -> None:
            loop.remove_reader(watched)
            os.close(watched)
            del self._forks[watched]
            if not end.done():
                end.set_result(End(signal.SIGKILL, 0.0))

        loop.add_reader(watched, ended)
        return end

    def _cpu_at_end(self, waited_for_s: float, told_s: float) -> float:
        return 0.0  # these are the forks', too; what was sampled holds

    def retire(self) -> None:
        """Ends the template. Its forks live on, and a fork under way fails."""
        if self.pidfd >= 0:
            self._send(self.pidfd, END if self._forks else signal.SIGKILL)
        self.link.close()

    def kill(self) -> None:
        """Like retire(): forks are sandboxes of their own."""
        self._killed = True
        self.retire()

    async def remove(self) -> None:
        """Ends the template, waits until the last of its forks has ended, then deletes what it has."""
        self.retire()
        await super().remove()
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await self._call_off(ahead)


def _wanted(spec: ForkSpec, status: int, given: ExitStack) -> tuple[dict[str, Any], list[int]]:
    """What the warden has to know of a fork, and the descriptors that go with it."""
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    given.callback(os.close, nothing)
    stdout = spec.stdout if spec.stdout >= 0 else nothing
    stderr = spec.stderr if spec.stderr >= 0 else nothing
    targets = {1: stdout, 2: stderr, **spec.pass_fds}
    wanted = {
        "scratch": spec.scratch.name,
        "hostname": spec.hostname,
        "shm_bytes": spec.limits.memory_limit_mib << 20,
        "binds": _listed(spec.binds),
        "devices": _listed(spec.devices),
        "targets": list(targets),
    }
    return wanted, [status, *targets.values()]


def _listed(binds: list[Bind]) -> list[tuple[str, str, bool]]:
    return [(str(bind.source), bind.target, bind.read_only) for bind in binds]
