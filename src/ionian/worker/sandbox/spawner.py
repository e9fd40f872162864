"""The worker's side of the launcher process: asks it to start and remove, hears what ended."""

from __future__ import annotations

import array
import asyncio
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

from .idmap import Extent, IdMap
from .spec import NetNamespaces, SandboxError

T = TypeVar("T")


@dataclass
class End:
    """How the process of a request ended: its wait status, and the CPU time of it and all below it."""

    status: int
    cpu_s: float


_of_loop: dict[asyncio.AbstractEventLoop, Spawner] = {}


class Spawner:
    """One launcher process. Its end means that every sandbox of it has ended, too."""

    def __init__(self, network: NetNamespaces | None = None) -> None:
        self.network = network  # where its sandboxes have their net namespaces from
        self.at_end: list[Callable[[], None]] = []  # called when the launcher has ended
        self._loop = asyncio.get_running_loop()
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [
                    sys.executable,
                    "-I",
                    "-S",
                    str(Path(__file__).with_name("launcher.py")),
                    str(theirs.fileno()),
                    str(os.getpid()),
                    json.dumps(own_ids()),
                ],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,  # Ctrl-C in the worker's terminal is the worker's to handle
            )
        ours.setblocking(False)
        self._socket = ours
        self._ids = count(1)
        self._answers: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self._ends: dict[int, asyncio.Future[End]] = {}
        self._gone = False
        self._loop.add_reader(ours.fileno(), self._readable)

    @classmethod
    def of_this_loop(cls) -> Spawner:
        """The launcher of this loop, started at the first call and again should it have died."""
        loop = asyncio.get_running_loop()
        for other in [o for o in _of_loop if o.is_closed()]:
            _of_loop.pop(other).close()
        spawner = _of_loop.get(loop)
        if spawner is None or spawner._gone:
            spawner = _of_loop[loop] = cls(spawner.network if spawner is not None else None)
        return spawner

    async def run(
        self, request: dict[str, Any], ids: IdMap, fds: Sequence[int] = ()
    ) -> tuple[int, int, asyncio.Future[End]]:
        """Runs one request: its id, its process, and a future of its end."""
        number = next(self._ids)
        request |= {"id": number, **maps_of(ids)}
        answer: asyncio.Future[dict[str, Any]] = self._loop.create_future()
        end: asyncio.Future[End] = self._loop.create_future()
        self._answers[number], self._ends[number] = answer, end
        await self._send(request, fds)
        try:
            said = await answer
        except asyncio.CancelledError:
            self.kill(number)  # requests are taken in order: it has been started when this arrives
            raise
        if said["failed"]:
            self._ends.pop(number, None)
            raise SandboxError(f"a sandbox could not be made: {said['failed']}")
        return number, said["pid"], end

    def kill(self, number: int) -> None:
        """Kills the process of a request, and with it its sandbox."""
        if not self._gone:
            try:
                self._socket.send(json.dumps({"do": "kill", "id": 0, "target": number}).encode())
            except BlockingIOError:
                self._loop.call_later(0.01, self.kill, number)

    def close(self) -> None:
        """Ends the launcher and every sandbox that it started; returns when all have gone."""
        self._lost()
        self._process.wait()

    async def _send(self, request: dict[str, Any], fds: Sequence[int]) -> None:
        data = json.dumps(request).encode()
        rights = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        while not self._gone:
            try:
                self._socket.sendmsg([data], rights)
                return
            except BlockingIOError:
                await asyncio.sleep(0.001)
            except OSError:
                self._lost()
        raise SandboxError(
            "the launcher process of this worker has ended; it is started again at the next sandbox"
        )

    def _readable(self) -> None:
        while not self._gone:
            try:
                data = self._socket.recv(1 << 16)
            except BlockingIOError:
                return
            except OSError:
                data = b""
            if not data:
                self._lost()
                return
            said = json.loads(data)
            if "ended" in said:
                _resolve(self._ends.pop(said["id"], None), End(said["ended"], said["cpu_s"]))
            else:
                _resolve(self._answers.pop(said["id"], None), said)

    def _lost(self) -> None:
        if self._gone:
            return
        self._gone = True
        if not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        for ended in self.at_end:
            ended()
        if self._loop.is_closed():
            return  # nobody can wait any more
        for answer in self._answers.values():
            _resolve(answer, {"failed": "its launcher process ended"})
        for end in self._ends.values():
            _resolve(end, End(signal.SIGKILL, 0.0))  # as a wait status: they died with the launcher


def _resolve(future: asyncio.Future[T] | None, value: T) -> None:
    if future is not None and not future.done():
        future.set_result(value)


def maps_of(ids: IdMap) -> dict[str, Any]:
    """A sandbox's ids as its user namespace wants them to be written."""
    return {
        "uids": _lines(ids.uids),
        "gids": _lines(ids.gids),
        "one_group": os.geteuid() != 0 and not ids.by_helper,
    }


def own_ids() -> dict[str, Any]:
    """The ids of the launcher's own user namespace, the same inside as outside; root's needs none."""
    ids = IdMap.current()
    if os.geteuid() == 0:
        return {}
    uids, gids = (tuple((here, here, size) for _, here, size in extents) for extents in (ids.uids, ids.gids))
    join = " " if ids.by_helper else "\n"
    return {
        "by_helper": ids.by_helper,
        "one_group": True,
        "uids": _lines(uids, join),
        "gids": _lines(gids, join),
    }


def _lines(extents: Sequence[Extent], join: str = "\n") -> str:
    return join.join(" ".join(map(str, extent)) for extent in extents)
