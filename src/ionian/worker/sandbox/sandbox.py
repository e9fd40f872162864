"""A running sandbox: started at its gate, let go, signalled, measured, waited for, removed."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import secrets
import signal
import socket
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from ...protocol.container import FORK_FD
from . import bwrap, cgroup, scratch
from .idmap import IdMap
from .inside import Inside, Program, enter
from .meter import Meter
from .pipes import read_all, read_some, unblocking_pipe
from .seccomp import build_filter
from .spawner import End, Spawner
from .spec import FILES, Exit, Limits, NetNamespace, ResourceUse, SandboxError, SandboxSpec

GO = b"g"
Kind = TypeVar("Kind", bound="Sandbox")
COUNTED_APART = tuple(map(int, os.uname().release.split(".", 2)[:2])) >= (5, 14)
"""Whether the kernel counts the processes of a user by the user namespace; before, it was all that the user has."""

FORKS = 4
"""A template and its forks have, all together, as many processes as so many containers, where no cgroup counts them."""

REMOVALS = 50  # of a cgroup, 10 ms apart; sweep() takes what is left after that


async def start(spec: SandboxSpec) -> Sandbox:
    """Makes a sandbox whose program waits for `go()`. The caller's descriptors may be closed once this returns."""
    return await start_as(Sandbox, spec)


async def start_as(kind: type[Kind], spec: SandboxSpec) -> Kind:
    """The same, as an object of a further kind."""
    ids = IdMap.current()
    scratch.prepare(spec.scratch, ids)
    group = make_group(spec.limits)
    spawner = Spawner.of_this_loop()
    try:
        if spec.namespace is not None:
            return await _start(kind, spec, ids, group, spawner, spec.namespace)
        namespace = await spawner.network.take() if spec.network and spawner.network is not None else None
        try:
            return await _start(kind, spec, ids, group, spawner, namespace)
        finally:
            if namespace is not None:
                namespace.release()
    except BaseException:
        await remove_group(group)
        raise


def make_group(limits: Limits) -> cgroup.Cgroup | None:
    tree = cgroup.own_tree()
    return tree.make(secrets.token_hex(8), limits) if tree else None


async def _start(
    kind: type[Kind],
    spec: SandboxSpec,
    ids: IdMap,
    group: cgroup.Cgroup | None,
    spawner: Spawner,
    namespace: NetNamespace | None,
) -> Kind:
    with ExitStack() as given, ExitStack() as kept:
        command, ends = _command(spec, ids, namespace, given, kept)
        fds = [*command.fds, namespace.fd] if namespace is not None else command.fds
        number, monitor, end = await spawner.run(_request(command, group, namespace is not None), ids, fds)
        given.close()
        try:
            pid, pidfd = await _first_process(ends, monitor)
            kept.callback(os.close, pidfd)
            if spec.python and await read_some(ends.gate) != b"+":
                raise SandboxError(await _complaint(ends))
        except BaseException as error:
            spawner.kill(number)
            await asyncio.shield(end)
            if isinstance(error, OSError):
                raise SandboxError(await _complaint(ends)) from None
            raise
        os.close(ends.complaints)
        os.close(ends.info)
        kept.pop_all()
        resolver = namespace.resolver if namespace is not None else None
        return kind(spec, ids, spawner, number, end, ends.gate, pid, pidfd, group, resolver)


async def remove_group(group: cgroup.Cgroup | None) -> None:
    for _ in range(REMOVALS):
        if not group or group.remove():
            return
        await asyncio.sleep(0.01)


@dataclass
class _Ends:
    """Our ends of what leads into a sandbox. `gate` is the init's status socket, or the pipe that bwrap blocks on."""

    gate: int
    info: int
    complaints: int


def _command(
    spec: SandboxSpec, ids: IdMap, namespace: NetNamespace | None, given: ExitStack, kept: ExitStack
) -> tuple[bwrap.Command, _Ends]:
    """The bwrap call. `given` closes what the launcher gets a copy of; `kept` our own ends."""
    command = bwrap.Command(spec, namespace.resolver if namespace is not None else None)
    bwrap.describe(command)
    nothing = os.open(os.devnull, os.O_RDWR | os.O_CLOEXEC)
    given.callback(os.close, nothing)
    command.give(spec.stdin if spec.stdin >= 0 else nothing, 0)
    command.give(spec.stdout if spec.stdout >= 0 else nothing, 1)
    stderr = spec.stderr if spec.stderr >= 0 else nothing
    for inside, fd in spec.pass_fds.items():
        command.give(fd, inside)

    filter_ = build_filter(
        as_build=spec.as_build,
        as_template=spec.as_template,
        fake_chown=spec.as_build and ids.count == 1,
    )
    command.option("--seccomp", str(command.give(_memory(filter_, given))))
    info, info_inside = unblocking_pipe(given, kept)
    command.option("--info-fd", str(command.give(info_inside)))
    complaints, complaints_inside = unblocking_pipe(given, kept)
    if spec.python:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        gate, theirs_fd = ours.detach(), theirs.detach()
        given.callback(os.close, theirs_fd)
        # Until "go", standard error is ours: bubblewrap's and Python's own complaints become the error of start().
        command.give(complaints_inside, 2)
        inside = (str(command.give(theirs_fd)), str(command.give(stderr)))
        program = [spec.python, "-I", "-S", spec.init or bwrap.INIT_INSIDE, *inside]
        program += [*(["-t"] if spec.as_template else [])]
        program += [word for folder in spec.python_path for word in ("-p", folder)] + spec.argv
    else:
        block, gate = os.pipe2(os.O_CLOEXEC)
        given.callback(os.close, block)
        command.give(stderr, 2)
        command.option("--block-fd", str(command.give(block)))
        program = spec.argv
    kept.callback(os.close, gate)
    options = command.give(_memory(command.packed_options(), given))
    command.options = ["--args", str(options), "--", *program]
    return command, _Ends(gate, info, complaints)


def _request(command: bwrap.Command, group: cgroup.Cgroup | None, joins_network: bool) -> dict[str, object]:
    binary = bwrap.find_bwrap()
    argv = [command.source(binary.path), *command.options]
    env = {"LD_LIBRARY_PATH": command.source(binary.libraries)} if binary.libraries else {}
    spec = command.spec
    return {
        "do": "start",
        **({"listener": FORK_FD} if spec.as_template else {}),
        "cgroups": group.joins if group else [],
        "joins_network": joins_network,  # the last descriptor
        "sources": command.sources,
        "targets": command.targets,
        "processes": processes_of(spec.limits, group) * (FORKS if spec.as_template else 1),
        "caps": sorted(bwrap.BUILD_CAPS.values()) if spec.as_build else [],
        "files": min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        "argv": argv,
        "env": env,
    }


def processes_of(limits: Limits, group: cgroup.Cgroup | None) -> int:
    """How many processes it may have, where no cgroup says so; 0 is any number."""
    return limits.pids if group is None and COUNTED_APART else 0


def _memory(data: bytes, given: ExitStack) -> int:
    fd = os.memfd_create("ionian")
    given.callback(os.close, fd)
    os.write(fd, data)
    os.lseek(fd, 0, os.SEEK_SET)
    return fd


async def _first_process(ends: _Ends, monitor: int) -> tuple[int, int]:
    """Pid 1 of the sandbox as we see it, and its pidfd."""
    text = await read_all(ends.info)
    if text:
        pid = int(json.loads(text)["child-pid"])
        pidfd = os.pidfd_open(pid)
        if cgroup.parent_of(pid) == monitor:  # else it died at once, and the number may be another's
            return pid, pidfd
        os.close(pidfd)
    raise SandboxError(await _complaint(ends))


async def _complaint(ends: _Ends) -> str:
    said = (await read_all(ends.complaints)).decode(errors="replace").strip()
    return f"the sandbox did not start: {said or 'bubblewrap ended first; its message is on the standard error given'}"


class Sandbox:
    """A sandbox that runs, or waits for `go()`.

    `pid` and `pidfd` are those of its first process; when that ends, the kernel ends all others in it.
    """

    def __init__(
        self,
        spec: SandboxSpec,
        ids: IdMap,
        spawner: Spawner,
        number: int,
        end: asyncio.Future[End],
        gate: int,
        pid: int,
        pidfd: int,
        group: cgroup.Cgroup | None,
        resolver: Path | None,
    ) -> None:
        self.spec = spec
        self.pid = pid
        self.pidfd = pidfd
        self._ids = ids
        self._spawner = spawner
        self._number = number
        self._gate = gate
        self._group = group
        self._resolver = resolver  # its resolv.conf, where it has a network of its own
        self._killed = False
        self._meter = Meter(pid, group, spec.limits, over=self.kill)
        self._exit = asyncio.ensure_future(self._watch(end))

    @property
    def safety(self) -> str:
        """The layers of isolation that are active, for the container's record."""
        return ",".join(
            [
                "userns",
                f"ids={self._ids.count}",
                "pid-init" if self.spec.python else "pid-bwrap",
                "seccomp",
                self._group.safety if self._group else "soft memory",
                f"net {self._network}",
            ]
        )

    @property
    def _network(self) -> str:
        if not self.spec.network:
            return "none"
        return "host" if self._resolver is None else "own"

    @property
    def soft_memory(self) -> bool:
        """Whether the memory limit is kept by sampling, for want of a cgroup."""
        return self._group is None

    def stand_back(self, back: bool) -> None:
        """Leaves the cores to others who want them, where there are cgroups; or wants them as much as others again."""
        if self._group is not None:
            self._group.stand_back(back)

    def go(self) -> None:
        """Lets the program run."""
        try:
            os.write(self._gate, GO)
        except (BrokenPipeError, ConnectionError):
            pass  # it ended at the gate: wait() tells how

    async def wait(self) -> Exit:
        """How the program ended, once every process of the sandbox has."""
        return await asyncio.shield(self._exit)

    def kill(self) -> None:
        """Ends everything in the sandbox at once."""
        self._killed = True
        self._send(self.pidfd, signal.SIGKILL)

    def signal(self, number: int) -> None:
        """Sends a signal to the program alone; its children hear it only if it passes it on."""
        if self.spec.python:
            self._send(self.pidfd, number)  # our init passes it on
            return
        # bwrap's own pid 1 passes nothing on.
        for child in Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text().split():
            pidfd = os.pidfd_open(int(child))
            try:
                self._send(pidfd, number)
            finally:
                os.close(pidfd)

    async def enter(self, program: Program) -> Inside:
        """Runs another program in here, beside the first. Raises SandboxError."""
        if self.pidfd < 0:
            raise SandboxError("the container has ended")
        return await enter(self._spawner, self._ids, self.pidfd, self._group, program)

    def reserve(self, cores: float, memory_bytes: int, since: float) -> None:
        """So much is kept free for it since then (time.monotonic), and charged where it uses less."""
        self._meter.reserve(cores, memory_bytes, since)

    def usage(self) -> ResourceUse:
        """What it used until now, or until its end."""
        return self._meter.use()

    async def remove(self) -> None:
        """Ends it if it runs, then deletes its scratch folder and its cgroup."""
        if not self._exit.done():
            self.kill()
        await self.wait()
        if self._gate >= 0:
            os.close(self._gate)
            os.close(self.pidfd)
            self._gate = self.pidfd = -1
        await scratch.remove([self.spec.scratch], self._ids)
        await remove_group(self._group)

    async def _watch(self, end: asyncio.Future[End]) -> Exit:
        ended = await end
        status, cpu_s = self._report()
        self._meter.stop(self._cpu_at_end(ended.cpu_s, cpu_s))
        outcome = self._outcome(ended.status if status is None else status, told=status is not None)
        outcome.oom = outcome.code != 0 and (
            self._meter.exceeded or bool(self._group and self._group.oom_kills())
        )
        return outcome

    def _cpu_at_end(self, waited_for_s: float, told_s: float) -> float:
        return max(waited_for_s, told_s)

    def _report(self) -> tuple[int | None, float]:
        """What our init said at the end: the program's wait status, and the processor time of the sandbox."""
        report = b""
        if self.spec.python:
            try:
                report = os.read(self._gate, 64)
            except (BlockingIOError, ConnectionError):
                pass
        words = [int(word) for word in report.split() if word.isdigit()]
        if len(words) == 2 and words[0] < 1 << 16:  # user code may have meddled with the init: its own loss
            return words[0], words[1] / 1e6
        return None, 0.0

    def _outcome(self, status: int, *, told: bool) -> Exit:
        if not told and (self.spec.python or self._killed):
            # Pid 1 itself was killed: by us, the kernel, or with the worker.
            return Exit(None, signal.SIGKILL)
        code = os.waitstatus_to_exitcode(status)
        return Exit(code) if code >= 0 else Exit(None, -code)

    @staticmethod
    def _send(pidfd: int, number: int) -> None:
        try:
            signal.pidfd_send_signal(pidfd, number)
        except (ProcessLookupError, OSError):
            pass  # it has ended
