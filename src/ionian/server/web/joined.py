"""The transport of a connection, which can hold what is written back for a moment: head and body of a small answer leave
together, in one system call of each side and one packet."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any


class Joined:
    """Passes everything on to a transport of asyncio."""

    __slots__ = ("_held", "_transport", "is_closing", "write")

    write: Callable[[Any], None]

    def __init__(self, transport: asyncio.Transport) -> None:
        self._transport = transport
        self._held: list[Any] = []
        self.is_closing = transport.is_closing
        self.write = transport.write

    def hold(self) -> None:
        """What is written from here on waits for `release`."""
        self.write = self._held.append

    def release(self) -> None:
        """Writes what was held back."""
        self.write = self._transport.write
        if self._held:
            held, self._held = self._held, []
            self._transport.write(held[0] if len(held) == 1 else b"".join(held))

    def close(self) -> None:
        """Ends the connection behind what was written."""
        self.release()
        self._transport.close()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)
