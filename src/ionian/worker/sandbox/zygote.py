"""A template in a sandbox, and the sandboxes that are forked from it: complete ones, in a few milliseconds.

    zygote = await start_zygote(spec)      # spec.argv: a program that calls container.fork.Forks.wait()
    zygote.go()
    box = await zygote.fork(ForkSpec(…))   # at its gate, like one of start()
    box.go()

What a fork shares with its template is memory, image, environment of the program, volumes and the user namespace above
its own. Everything else is its own: all other namespaces, root, /tmp, /dev, cgroup, descriptors.
"""

from __future__ import annotations

import array
import asyncio
import json
import os
import resource
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ...protocol.container import FORK_FD
from . import bwrap, cgroup, scratch
from .idmap import Extent, IdMap
from .sandbox import FILES, Sandbox, make_group, remove_group, start_as
from .seccomp import build_filter
from .spawner import End
from .spec import Bind, Limits, SandboxError, SandboxSpec

AT_ONCE = 4
"""Forks of one template under way together: what is made by one process after the other overlaps with the rest of it."""

END = 40
"""Kills the program of a template alone: see container/init.py."""


class ForkError(SandboxError):
    """A template could not be forked. Nothing of the fork is left; a plain start() is the way out."""


@dataclass
class ForkSpec:
    """What is a fork's own; the rest is its template's. Folders of `binds` have to be readable by anybody."""

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
    with ExitStack() as given:
        warden_end, template_end = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        given.callback(warden_end.close)
        given.callback(template_end.close)
        fds = {**spec.pass_fds, FORK_FD: template_end.fileno()}
        zygote = await start_as(Zygote, replace(spec, as_template=True, pass_fds=fds))
        try:
            await zygote.meet_warden(warden_end)
        except BaseException:
            await zygote.remove()
            raise
        return zygote


class Zygote(Sandbox):
    """A sandbox whose program can be forked. What it has of Sandbox is about the template itself; its end, for wait()
    and remove(), is that of the last fork."""

    _control: socket.socket | None = None

    async def meet_warden(self, template: socket.socket) -> None:
        """Starts the process that serves the forks, before any code of the image's runs."""
        self._forks: dict[int, int] = {}  # pid → id of its request
        self._answers: dict[int, asyncio.Future[tuple[dict[str, Any], list[int]]]] = {}
        self._number_of_forks = 0
        self._slots = asyncio.Semaphore(AT_ONCE)
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            self._control = ours
            ready = self._answers[0] = asyncio.get_running_loop().create_future()
            asyncio.get_running_loop().add_reader(ours.fileno(), self._readable)
            fds = [theirs.fileno(), template.fileno(), self.pidfd]
            await self._spawner.run(_warden_request(self.spec, self._ids, self.pid), self._ids, fds)
        said, _ = await ready
        if "failed" in said:
            raise SandboxError(f"a template could not be made: {said['failed']}")

    @property
    def forks(self) -> int:
        """How many of its forks live."""
        return len(self._forks)

    async def fork(self, spec: ForkSpec, timeout_s: float = 5.0) -> Sandbox:
        """A sandbox at its gate, forked from the template as it is now. Raises ForkError."""
        if spec.scratch.parent != self.spec.scratch.parent:
            raise ValueError(
                f"expected the scratch folder of a fork in {self.spec.scratch.parent}, beside its template's, got {spec.scratch}"
            )
        try:
            scratch.prepare(spec.scratch, self._ids)
            group = make_group(spec.limits)
        except (SandboxError, OSError) as error:
            raise ForkError(str(error)) from None
        try:
            return await self._fork(spec, group, timeout_s)
        except BaseException:
            await asyncio.shield(self._leave_nothing(spec, group))
            raise

    async def _leave_nothing(self, spec: ForkSpec, group: cgroup.Cgroup | None) -> None:
        await remove_group(group)
        await scratch.remove([spec.scratch], self._ids)

    async def _fork(self, spec: ForkSpec, group: cgroup.Cgroup | None, timeout_s: float) -> Sandbox:
        with ExitStack() as given, ExitStack() as kept:
            ours, theirs = socket.socketpair()
            given.callback(theirs.close)
            kept.callback(ours.close)
            ours.setblocking(False)
            request, fds = self._request(spec, group, theirs.fileno(), given)
            number, pid, pidfd = await self._ask(request, fds, timeout_s)
            kept.pop_all()
        box_spec = replace(
            self.spec,
            scratch=spec.scratch,
            limits=spec.limits,
            hostname=spec.hostname,
            pass_fds=spec.pass_fds,
            as_template=False,
        )
        end = self._end_of(number, pid, pidfd)
        return Sandbox(box_spec, self._ids, self._spawner, 0, end, ours.detach(), pid, pidfd, group)

    def _request(
        self, spec: ForkSpec, group: cgroup.Cgroup | None, status: int, given: ExitStack
    ) -> tuple[dict[str, Any], list[int]]:
        nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
        given.callback(os.close, nothing)
        joins = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in (group.joins if group else [])]
        for fd in joins:
            given.callback(os.close, fd)
        stdout = spec.stdout if spec.stdout >= 0 else nothing
        stderr = spec.stderr if spec.stderr >= 0 else nothing
        targets = {1: stdout, 2: stderr, **spec.pass_fds}
        request = {
            "do": "fork",
            "scratch": spec.scratch.name,
            "hostname": spec.hostname,
            "shm_bytes": spec.limits.memory_limit_mib << 20,
            "binds": _listed(spec.binds),
            "devices": _listed(spec.devices),
            "targets": list(targets),
            "group": Path(group.joins[0]).parent.name if group else "",
        }
        return request, [status, *targets.values(), *joins]

    async def _ask(self, request: dict[str, Any], fds: list[int], timeout_s: float) -> tuple[int, int, int]:
        """The number, the pid and the pidfd of a new fork."""
        number = self._number_of_forks = self._number_of_forks + 1
        answer: asyncio.Future[tuple[dict[str, Any], list[int]]] = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(timeout_s):
                async with self._slots:
                    self._answers[number] = answer
                    await self._tell({**request, "id": number}, fds)
                    said, came = await asyncio.shield(answer)
        except (TimeoutError, asyncio.CancelledError) as error:
            if number in self._answers:
                await asyncio.shield(self._call_off(number, answer))
            if isinstance(error, TimeoutError):
                raise ForkError(f"the template did not fork within {timeout_s:g} s") from None
            raise
        if "failed" in said:
            raise ForkError(f"the template could not be forked: {said['failed']}")
        return number, said["pid"], came[0]

    async def _call_off(self, number: int, answer: asyncio.Future[tuple[dict[str, Any], list[int]]]) -> None:
        """The warden ends what there is of a fork; perhaps it was complete at this moment."""
        try:
            await self._tell({"do": "cancel", "id": number}, [])
            _, came = await answer
        except ForkError:
            return  # the warden has ended
        for pidfd in came:
            signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            os.close(pidfd)

    async def _tell(self, what: dict[str, Any], fds: list[int]) -> None:
        data = json.dumps(what).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        while self._control is not None:
            try:
                self._control.sendmsg([data], rights)
                return
            except BlockingIOError:
                await asyncio.sleep(0.001)
            except OSError:
                self._lose_warden()
        raise ForkError("the template can't be forked any more: its warden has ended")

    def _readable(self) -> None:
        while self._control is not None:
            try:
                data, fds, _, _ = socket.recv_fds(self._control, 1 << 16, 1, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self._lose_warden()
                return
            said = json.loads(data)
            answer = self._answers.pop(said.get("id", 0), None)
            if answer is not None and not answer.done():
                answer.set_result((said, fds))
            else:
                for fd in fds:
                    os.close(fd)

    def _lose_warden(self) -> None:
        if self._control is None:
            return
        asyncio.get_running_loop().remove_reader(self._control.fileno())
        self._control.close()
        self._control = None
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(({"failed": "its warden has ended"}, []))
        self._answers.clear()

    def _end_of(self, number: int, pid: int, pidfd: int) -> asyncio.Future[End]:
        """A future of the end of a fork's first process, and with it of all in it."""
        loop = asyncio.get_running_loop()
        end: asyncio.Future[End] = loop.create_future()
        watched = os.dup(pidfd)
        self._forks[number] = pid

        def ended() -> None:
            loop.remove_reader(watched)
            os.close(watched)
            self._forks.pop(number, None)
            if not end.done():
                end.set_result(End(signal.SIGKILL, 0.0))

        loop.add_reader(watched, ended)
        return end

    def retire(self) -> None:
        """Ends the template. Its forks live on, and a fork under way fails."""
        if self.pidfd < 0:
            return
        self._send(self.pidfd, END if self._forks else signal.SIGKILL)
        self._lose_warden()

    def kill(self) -> None:
        """Like retire(): forks are sandboxes of their own."""
        self._killed = True
        self.retire()

    async def remove(self) -> None:
        """Ends the template, waits until the last of its forks has ended, then deletes what it has."""
        self.retire()
        await super().remove()


def _warden_request(spec: SandboxSpec, ids: IdMap, init: int) -> dict[str, Any]:
    plan, sources = _plan(spec)
    return {
        "do": "warden",
        "init": init,
        "files": min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        "sources": sources,
        "plan": plan,
        "network": spec.network,
        "filter": build_filter().hex(),
        "uid_map": _identity(ids.uids),
        "gid_map": _identity(ids.gids),
    }


def _plan(spec: SandboxSpec) -> tuple[dict[str, Any], list[str]]:
    """What forks are made of, by names on the stage, and the sources of these."""
    sources: list[str] = []

    def stage(path: Path) -> str:
        sources.append(str(path))
        return str(len(sources) - 1)

    shown = [(bind, False) for bind in (bwrap.names_of_the_host(spec) if spec.network else [])]
    shown += [(bind, False) for bind in spec.binds] + [(device, True) for device in spec.devices]
    plan = {
        "layers": [stage(layer) for layer in spec.layers],
        "own": stage(spec.scratch),
        "scratches": stage(spec.scratch.parent),
        "room": stage(spec.scratch),  # covered by a folder of the warden's
        "shows": [(stage(b.source), b.target, b.read_only, is_device) for b, is_device in shown],
        "read_only": [path for path in bwrap.READ_ONLY if os.path.exists(path)],
        "masked": [path for path in bwrap.MASKED if os.path.exists(path)],
        "hidden": [path for path in bwrap.HIDDEN if os.path.isdir(path)],
        "sys": [path for path in bwrap.SYS if os.path.exists(path)],
    }
    return plan, sources


def _listed(binds: list[Bind]) -> list[tuple[str, str, bool]]:
    return [(str(bind.source), bind.target, bind.read_only) for bind in binds]


def _identity(extents: tuple[Extent, ...]) -> str:
    """A fork's ids are those of its template."""
    return "\n".join(f"{first} {first} {size}" for first, _, size in extents)
