"""What a container writes: read from its pipes, passed on as it comes, never dropped."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

CHUNK = 64 << 10
PAUSE_S = 0.02


class LogPipe:
    """One of stdout and stderr. While the way to the server is crowded nothing is read, and the writer waits."""

    def __init__(self, fd: int, send: Callable[[int, bytes], None], crowded: Callable[[], bool]) -> None:
        self.fd = fd
        self.read_end, self.write_end = os.pipe2(os.O_CLOEXEC)
        os.set_blocking(self.read_end, False)
        self._send = send
        self._crowded = crowded
        self._loop = asyncio.get_running_loop()
        self.done: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(self.read_end, self._readable)

    def started(self) -> None:
        """The container has its end."""
        os.close(self.write_end)
        self.write_end = -1

    def _readable(self) -> None:
        if self._crowded():
            self._loop.remove_reader(self.read_end)
            self._loop.call_later(PAUSE_S, self._resume)
            return
        try:
            data = os.read(self.read_end, CHUNK)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self._send(self.fd, data)
            return
        self.close()

    def catch_up(self) -> None:
        """Reads what is there now: what an input printed goes ahead of its result."""
        if not self.done.done() and not self._crowded():
            self._readable()

    def _resume(self) -> None:
        if not self.done.done():
            self._loop.add_reader(self.read_end, self._readable)

    def close(self) -> None:
        """Lets go of the pipe."""
        if self.done.done():
            return
        self._loop.remove_reader(self.read_end)
        os.close(self.read_end)
        if self.write_end >= 0:
            os.close(self.write_end)
        self.done.set_result(None)
