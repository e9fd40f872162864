"""The worker's side of removal.py: a process of the launcher's that deletes small folders, kept for the next one."""

from __future__ import annotations

import asyncio
import socket
from collections import deque
from pathlib import Path
from weakref import WeakKeyDictionary

from .idmap import IdMap
from .removal import DONE
from .spawner import Spawner
from .spec import SandboxError

_of_spawner: WeakKeyDictionary[Spawner, Remover] = WeakKeyDictionary()


class Remover:
    """One such process: started with the first folder, and again should it have ended."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._socket: socket.socket | None = None
        self._starting: asyncio.Task[None] | None = None
        self._waiting: deque[asyncio.Future[bool]] = deque()  # it answers in order

    @classmethod
    def of(cls, spawner: Spawner) -> Remover:
        """That of a launcher."""
        if spawner not in _of_spawner:
            remover = _of_spawner[spawner] = cls()
            spawner.at_end.append(remover.close)
        return _of_spawner[spawner]

    async def remove(self, folder: Path, spawner: Spawner) -> bool:
        """Deletes a folder where it holds little; False where it is there still, in part perhaps."""
        try:
            if self._socket is None:
                await self._start(spawner)
            if self._socket is None:
                return False
            self._socket.send(bytes(folder))
        except (SandboxError, OSError):
            return False  # it has ended, or has much to do: another way is there
        done: asyncio.Future[bool] = self._loop.create_future()
        self._waiting.append(done)
        return await done

    async def _start(self, spawner: Spawner) -> None:
        if self._starting is None or self._starting.done():
            self._starting = asyncio.ensure_future(self._start_process(spawner))
        await asyncio.shield(self._starting)

    async def _start_process(self, spawner: Spawner) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        try:
            with theirs:
                await spawner.run({"do": "remover"}, IdMap.current(), [theirs.fileno()])
        except BaseException:
            ours.close()
            raise
        self._socket = ours
        self._loop.add_reader(ours.fileno(), self._readable, ours)

    def _readable(self, process: socket.socket) -> None:
        try:
            said = process.recv(16)
        except BlockingIOError:
            return
        except OSError:
            said = b""
        if said:
            self._answer(said == DONE)
            return
        self.close()

    def close(self) -> None:
        """It has ended, or its launcher has."""
        if self._socket is None:
            return
        if not self._loop.is_closed():
            self._loop.remove_reader(self._socket.fileno())
        self._socket.close()
        self._socket = None
        while self._waiting and not self._loop.is_closed():
            self._answer(False)

    def _answer(self, done: bool) -> None:
        waiting = self._waiting.popleft()
        if not waiting.done():
            waiting.set_result(done)
