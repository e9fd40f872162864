"""Reading small descriptors without blocking the loop."""

from __future__ import annotations

import asyncio
import os
from contextlib import ExitStack


def unblocking_pipe(given: ExitStack, kept: ExitStack) -> tuple[int, int]:
    """A pipe whose reading end is ours and does not block; the other is closed with what was given away."""
    read, write = os.pipe2(os.O_CLOEXEC)
    os.set_blocking(read, False)
    kept.callback(os.close, read)
    given.callback(os.close, write)
    return read, write


async def read_some(fd: int) -> bytes:
    """The next bytes; b"" at the end."""
    loop = asyncio.get_running_loop()
    while True:
        try:
            return os.read(fd, 65536)
        except BlockingIOError:
            pass
        except ConnectionError:
            return b""
        ready = asyncio.Event()
        loop.add_reader(fd, ready.set)
        try:
            await ready.wait()
        finally:
            loop.remove_reader(fd)


async def read_all(fd: int) -> bytes:
    """Everything until the other side has closed."""
    out = b""
    while piece := await read_some(fd):
        out += piece
    return out
