"""Files offered to a server on this machine by their descriptors: it copies them itself, and none of their bytes pass here."""

from __future__ import annotations

import contextlib
import os
import socket
import threading

from ..protocol.stream import LOCAL
from ..protocol.volumes import OFFERS_SOCKET

ANSWER_S = 30.0
"""A server that is there takes an offer at once; one that is stopped or overloaded is waited for so long."""


class Offering:
    """A connection on which files are offered; what was copied of them and has no place yet goes with it.

    Safe to use from any thread. It is made with the first offer, and made anew where a server was started again.
    """

    def __init__(self, url: str) -> None:
        self._path = os.path.join(os.path.dirname(url.removeprefix(LOCAL)), OFFERS_SOCKET)
        self._socket: socket.socket | None = None
        self._lock = threading.Lock()

    def offer(self, descriptor: int) -> str:
        """Offers an open file; returns the key of the offer. Raises OSError where no server takes it."""
        key = os.urandom(16).hex()
        with self._lock:
            try:
                if self._socket is None:
                    self._socket = self._connect()
                socket.send_fds(self._socket, [key.encode()], [descriptor])
                if not self._socket.recv(1):
                    raise ConnectionResetError("the server takes no more offers")
            except OSError:
                self._close()
                raise
        return key

    def _connect(self) -> socket.socket:
        made = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        try:
            made.settimeout(ANSWER_S)
            made.connect(self._path)
        except OSError:
            made.close()
            raise
        return made

    def close(self) -> None:
        """The files are in their places, or shall not be."""
        with self._lock:
            self._close()

    def _close(self) -> None:
        if self._socket is not None:
            with contextlib.suppress(OSError):
                self._socket.close()
        self._socket = None
