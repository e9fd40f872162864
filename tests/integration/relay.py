"""An address before a server of the test's that can be out of reach for a while."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager


class Relay:
    """Passes connections on to a port of this machine; while it is `out`, it refuses them."""

    def __init__(self, target: int) -> None:
        self._target = target
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open: set[socket.socket] = set()
        self._out = False
        threading.Thread(target=self._accept, daemon=True).start()

    @contextmanager
    def out(self) -> Generator[None]:
        """Out of reach within the block."""
        self._out = True
        self._cut()
        try:
            yield
        finally:
            self._out = False

    def close(self) -> None:
        """Ends it."""
        self._out = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._cut()

    def _accept(self) -> None:
        while True:
            try:
                here, _ = self._listener.accept()
                there = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                return
            self._open |= {here, there}
            if self._out:
                self._cut()
            for one, other in ((here, there), (there, here)):
                threading.Thread(target=self._pass, args=(one, other), daemon=True).start()

    def _pass(self, one: socket.socket, other: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while part := one.recv(1 << 16):
                other.sendall(part)
        for end in (one, other):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _cut(self) -> None:
        for end in list(self._open):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)


@contextmanager
def relay(target: int) -> Generator[Relay]:
    made = Relay(target)
    try:
        yield made
    finally:
        made.close()
