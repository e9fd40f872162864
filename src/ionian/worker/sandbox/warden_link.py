"""The worker's side of a template's warden: says which forks are begun and completed, hears what came of them."""

from __future__ import annotations

import array
import asyncio
import json
import os
import resource
import signal
import socket
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from . import bwrap
from .cgroup import Cgroup
from .idmap import Extent, IdMap
from .seccomp import build_filter
from .spawner import Spawner
from .spec import FILES, SandboxError, SandboxSpec

OLD_PROC = False
"""For tests: makes /proc as is done before Linux 6.17."""

Answer = tuple[dict[str, Any], list[int]]


class ForkError(SandboxError):
    """A template could not be forked. Nothing of the fork is left; a plain start() is the way out."""


@dataclass
class Unborn:
    """A fork that has been begun: the process that will become it waits, in the cgroup that is the container's."""

    number: int
    group: Cgroup | None
    answer: asyncio.Future[Answer]

    @property
    def failed(self) -> bool:
        return self.answer.done()


class WardenLink:
    """The stream of requests to one warden. Its end leaves what was forked alone."""

    def __init__(self) -> None:
        self.pid = 0  # the warden's
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._numbers = count(1)
        self._answers: dict[int, asyncio.Future[Answer]] = {}

    async def start(
        self,
        spawner: Spawner,
        spec: SandboxSpec,
        ids: IdMap,
        first: tuple[int, int],
        template: int,
        resolver: Path | None,
    ) -> None:
        """Starts the warden of the sandbox whose first process is `first` (pid, pidfd); `template` is the descriptor of the
        other end of its FORK_FD. Raises SandboxError."""
        pid, pidfd = first
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        self._socket = ours
        self._loop.add_reader(ours.fileno(), self._readable)
        ready = self._expect(0)
        with theirs:
            request = _request(spec, ids, pid, resolver)
            _, self.pid, _ = await spawner.run(request, ids, [theirs.fileno(), template, pidfd])
        said, _ = await ready
        if "failed" in said:
            raise SandboxError(f"a template could not be made: {said['failed']}")

    def conceive(self, group: Cgroup | None) -> Unborn:
        """Begins a fork. Raises ForkError."""
        number = next(self._numbers)
        unborn = Unborn(number, group, self._expect(number))
        with ExitStack() as given:
            joins = [os.open(path, os.O_WRONLY | os.O_CLOEXEC) for path in (group.joins if group else [])]
            for fd in joins:
                given.callback(os.close, fd)
            self._tell({"do": "conceive", "id": number}, joins)
        return unborn

    async def bear(self, unborn: Unborn, wanted: dict[str, Any]) -> tuple[int, int, int]:
        """Makes a fork that waits for its descriptors: the pid and the pidfd of its first process, and the descriptor of what
        leads to it. Raises ForkError."""
        group = Path(unborn.group.joins[0]).parent.name if unborn.group else ""
        self._tell({"do": "fork", "id": unborn.number, "group": group, **wanted}, [])
        said, came = await asyncio.shield(unborn.answer)
        if "failed" in said:
            raise ForkError(f"the template could not be forked: {said['failed']}")
        return said["pid"], came[0], came[1]

    async def call_off(self, unborn: Unborn) -> None:
        """Ends what there is of a fork. Perhaps it has failed before, or was complete at this moment."""
        if not unborn.answer.done():
            try:
                self._tell({"do": "cancel", "id": unborn.number}, [])
            except ForkError:
                return  # the warden has ended, and the fork with it
        _, came = await unborn.answer
        if came:
            with suppress(ProcessLookupError):  # it has ended
                signal.pidfd_send_signal(came[0], signal.SIGKILL)
        for fd in came:
            os.close(fd)

    def close(self) -> None:
        """The warden ends, and with it what is not complete."""
        if self._socket is None:
            return
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        for answer in self._answers.values():
            if not answer.done():
                answer.set_result(({"failed": "it has ended, or its warden"}, []))
        self._answers.clear()

    @property
    def closed(self) -> bool:
        return self._socket is None

    def _expect(self, number: int) -> asyncio.Future[Answer]:
        answer: asyncio.Future[Answer] = self._loop.create_future()
        self._answers[number] = answer
        return answer

    def _tell(self, what: dict[str, Any], fds: list[int]) -> None:
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            if self._socket is not None:
                self._socket.sendmsg([json.dumps(what).encode()], rights)
                return
        except BlockingIOError:
            raise ForkError("the template can't be forked: its warden does not answer") from None
        except OSError:
            self.close()
        raise ForkError("the template can't be forked any more: it has ended, or its warden")

    def _readable(self) -> None:
        while self._socket is not None:
            try:
                data, fds, _, _ = socket.recv_fds(self._socket, 1 << 16, 2, socket.MSG_CMSG_CLOEXEC)
            except BlockingIOError:
                return
            except OSError:
                data, fds = b"", []
            if not data:
                self.close()
                return
            said = json.loads(data)
            answer = self._answers.pop(said.get("id", 0), None)
            if answer is not None and not answer.done():
                answer.set_result((said, fds))
            else:
                for fd in fds:
                    os.close(fd)


def _request(spec: SandboxSpec, ids: IdMap, init: int, resolver: Path | None) -> dict[str, Any]:
    plan, sources = _plan(spec, resolver)
    return {
        "do": "warden",
        "init": init,
        "files": min(FILES, resource.getrlimit(resource.RLIMIT_NOFILE)[1]),
        "sources": sources,
        "plan": plan,
        "network": spec.network and resolver is None,  # whether forks have the template's
        "old_proc": OLD_PROC,
        "filter": build_filter().hex(),
        "uid_map": _identity(ids.uids),
        "gid_map": _identity(ids.gids),
    }


def _plan(spec: SandboxSpec, resolver: Path | None) -> tuple[dict[str, Any], list[tuple[str, str]]]:
    """What forks are made of, by names on the stage, and the sources of these."""
    sources: list[tuple[str, str]] = []

    def stage(path: Path, below: str = "") -> str:
        sources.append((str(path), below))
        return str(len(sources) - 1)

    shown = [(bind, False) for bind in (bwrap.names_of_the_host(spec, resolver) if spec.network else [])]
    shown += [(bind, False) for bind in spec.binds] + [(device, True) for device in spec.devices]
    plan = {
        "layers": [stage(layer) for layer in spec.layers],
        "own": stage(spec.scratch),
        "scratches": stage(spec.scratch.parent),
        "room": stage(spec.scratch),  # covered by a folder of the warden's
        "shows": [(stage(b.source, b.below), b.target, b.read_only, is_device) for b, is_device in shown],
        "read_only": [path for path in bwrap.READ_ONLY if os.path.exists(path)],
        "masked": [path for path in bwrap.MASKED if os.path.exists(path)],
        "hidden": [path for path in bwrap.HIDDEN if os.path.isdir(path)],
        "sys": [path for path in bwrap.SYS if os.path.exists(path)],
    }
    return plan, sources


def _identity(extents: tuple[Extent, ...]) -> str:
    """A fork's ids are those of its template."""
    return "\n".join(f"{first} {first} {size}" for first, _, size in extents)
