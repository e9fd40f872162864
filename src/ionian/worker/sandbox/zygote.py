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
import secrets
import signal
import socket
from dataclasses import replace
from math import inf
from typing import Any

from ...protocol.container import FORK_FD
from . import scratch
from .sandbox import Sandbox, make_group, processes_of, remove_group, start_as
from .spare import ForkSpec, Spare
from .spawner import End
from .spec import Bind, Limits, SandboxError, SandboxSpec
from .warden_link import ForkError, Unborn, WardenLink

SPARE_AFTER_S = 0.1
"""So long after a fork the next one is made ahead: the container has started by then, on a machine that is not crowded. One that is
asked for sooner is of many, of which each one's making then overlaps with the start of the one before."""

SPARE_SOON_S = 0.5
"""So long a container waits for what is being made ahead: it is there sooner than another one would be, unless it hangs."""

SPARE_S = 5.0

GO_AHEAD_S = 30.0
"""What its program does ahead is done in 10 ms, or in seconds on a busy machine. Nobody waits for it."""

AT_ONCE = 4
"""Forks of one template under way together: what one process makes after the other overlaps with the rest of it."""

END = 40
"""Kills the program of a template alone: see container/init.py."""


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
        self._meter.forks = self._apart
        self._meter.beside = self._spare_bytes
        self._forks: dict[int, int] = {}  # descriptor that tells its end → pid
        self._slots = asyncio.Semaphore(AT_ONCE)
        self._late = 0  # forks that took too long
        self._ahead: Unborn | None = None
        self.spare: Spare | None = None  # made ahead, for the next container
        self._going: Spare | None = None  # one whose program goes ahead, and is not there yet
        self.goes_ahead = True  # where what is made ahead has its program already
        self._spare_timer: asyncio.TimerHandle | None = None  # until it is made
        self._spare_task: asyncio.Task[None] | None = None
        self._coming: ForkSpec | None = None  # what is being made ahead, until somebody waits for it
        self._forked_at = -inf

    @property
    def forks(self) -> int:
        """How many of its forks live."""
        return len(self._forks)

    def _spare_bytes(self) -> int:
        """The memory of the one that was made ahead."""
        return self.spare.memory_bytes if self.spare is not None else 0

    def _apart(self) -> set[int]:
        """What is metered on its own, or by nobody."""
        made = {each.pid for each in (self.spare, self._going) if each is not None}
        return made.union(self._forks.values()) or {0}

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
        now = asyncio.get_running_loop().time()
        follows, self._forked_at = now - self._forked_at < SPARE_AFTER_S, now
        box = await self._of_spare(spec)
        if box is None:
            made = await self._make(spec, timeout_s)
            try:
                box = self._complete(made, spec)
            except OSError as error:
                await asyncio.shield(made.discard(self._ids))
                raise ForkError(f"the template could not be forked: {error}") from None
        if spec.again:
            self._spares_later(spec, at_once=follows)
        return box

    async def _of_spare(self, spec: ForkSpec) -> Sandbox | None:
        """That which was made ahead, where there is one, or will be soon, and it will do."""
        coming, task = self._coming, self._spare_task
        if self.spare is None and task is not None and coming is not None and coming.is_like(spec):
            self._coming = None
            await asyncio.wait([task], timeout=SPARE_SOON_S)
        spare = self.spare
        if spare is None:
            return None
        self.spare = None
        if spare.spec.is_like(spec) and spare.lives and spare.gateway is self._gateway():
            try:
                return self._complete(spare, spec)
            except OSError:
                pass  # it ends at this moment
        await asyncio.shield(self._discard(spare))
        return None

    async def _discard(self, spare: Spare) -> None:
        self._meter.add(spare.wasted_s())
        await spare.discard(self._ids)

    def _complete(self, spare: Spare, spec: ForkSpec) -> Sandbox:
        gate = spare.give(spec)
        made = replace(
            self.spec,
            scratch=spare.spec.scratch,
            limits=spec.limits,
            hostname=spec.hostname,
            pass_fds=spec.pass_fds,
            as_template=False,
        )
        pid, pidfd = spare.pid, spare.pidfd
        end = self._end_of(pid, pidfd)
        box = Sandbox(
            made, self._ids, self._spawner, 0, end, gate.detach(), pid, pidfd, spare.group, self._resolver
        )
        box._meter.of_template = True
        return box

    async def _make(self, spec: ForkSpec, timeout_s: float) -> Spare:
        late = self._late
        try:
            scratch.prepare(spec.scratch, self._ids)
            async with self._slots:
                if self._late != late:
                    raise ForkError("the template did not fork: it does not answer")
                try:
                    async with asyncio.timeout(timeout_s):
                        return await self._bear(spec)
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

    async def _bear(self, spec: ForkSpec) -> Spare:
        unborn = await self._next_unborn()
        try:
            if unborn.group:
                unborn.group.limit(spec.limits)
            wanted = {
                "scratch": spec.scratch.name,
                "hostname": spec.hostname,
                "shm_bytes": spec.limits.memory_limit_mib << 20,
                "binds": _listed(spec.binds),
                "devices": _listed(spec.devices),
                "processes": processes_of(spec.limits, unborn.group),
            }
            gateway = self._gateway()
            pid, pidfd, way = await self.link.bear(unborn, wanted)
            await self._join_network(pid)
        except BaseException:
            await asyncio.shield(self._call_off(unborn))
            raise
        self._conceive_ahead()
        return Spare(spec, unborn.group, pid, pidfd, socket.socket(fileno=way), gateway)

    # --- one more, ahead

    def _spares_later(self, spec: ForkSpec, *, at_once: bool) -> None:
        """A fork like this one is made once the container that this one becomes has started: it is in nobody's way then."""
        if self.spare is not None or self.link.closed or (self._spare_task and not self._spare_task.done()):
            return
        if at_once:
            self._begin_spare(spec)
        elif self._spare_timer is None:
            loop = asyncio.get_running_loop()
            self._spare_timer = loop.call_later(SPARE_AFTER_S, self._begin_spare, spec)

    def _begin_spare(self, spec: ForkSpec) -> None:
        if self._spare_timer is not None:
            self._spare_timer.cancel()
            self._spare_timer = None
        name = f"sp-{secrets.token_hex(8)}"
        self._coming = replace(spec, scratch=spec.scratch.with_name(name), stdout=-1, stderr=-1, pass_fds={})
        self._spare_task = asyncio.ensure_future(self._make_spare(self._coming))

    async def _make_spare(self, spec: ForkSpec) -> None:
        try:
            made = await self._make(spec, SPARE_S)
            if self.goes_ahead and not self.link.closed and not await self._go_ahead(made):
                await self._discard(made)
                made = await self._make(spec, SPARE_S)
            if self.link.closed:
                await self._discard(made)
            else:
                self.spare = made
        except SandboxError:
            pass  # fork() will say why
        finally:
            self._coming = None

    async def _go_ahead(self, made: Spare) -> bool:
        """Where that fails once, its program starts when it is wanted, and who waits for it hears why."""
        self._going = made
        try:
            async with asyncio.timeout(GO_AHEAD_S):
                self.goes_ahead = await made.go_ahead()
        except TimeoutError:
            self.goes_ahead = False
        finally:
            self._going = None
        return self.goes_ahead

    def _gateway(self) -> object:
        network = self._spawner.network
        return network.gateway if network is not None and self._resolver is not None else None

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
        if self._spare_timer is not None:
            self._spare_timer.cancel()
        if self._going is not None:
            self._meter.add(self._going.wasted_s())
            self._going.end()
        if self.spare is not None:
            self._meter.add(self.spare.wasted_s())
            self.spare.kill()

    def kill(self) -> None:
        """Like retire(): forks are sandboxes of their own."""
        self._killed = True
        self.retire()

    async def remove(self) -> None:
        """Ends the template, waits until the last of its forks has ended, then deletes what it has."""
        self.retire()
        if self._spare_task is not None:
            await asyncio.wait([self._spare_task])
        spare, self.spare = self.spare, None
        if spare is not None:
            await self._discard(spare)
        await super().remove()
        ahead, self._ahead = self._ahead, None
        if ahead is not None:
            await self._call_off(ahead)


def _listed(binds: list[Bind]) -> list[tuple[str, str, bool]]:
    return [(str(bind.source), bind.target, bind.read_only) for bind in binds]
