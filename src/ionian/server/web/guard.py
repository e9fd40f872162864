"""What a connection may cost before it is a request: time, headers, and how many there are.

uvicorn bounds none of it. Limits of bodies are in ingress.py, for they are those of a request.
"""

from __future__ import annotations

import asyncio
import resource
from typing import TYPE_CHECKING, Any, cast

from uvicorn.protocols.http.httptools_impl import STATUS_LINE, HttpToolsProtocol, RequestResponseCycle

if TYPE_CHECKING:
    from .answer import Answer

CONNECTION = "ionian.connection"
"""Among the extensions of a request's scope: its connection, a Guarded."""

HEADERS = 64 << 10
"""The most that the first line and the headers of a request may have (bytes): what nginx and h11 take at most, too."""

MOST = 10_000
"""Connections at once; one more is told to come again."""

FILES = 65_536
"""Descriptors that this process may have, where the machine lets it: a connection is one."""


class TooLarge(Exception):
    """Headers past the limit."""


class UnknownEncoding(Exception):
    """A body in an encoding that isn't known here."""


class Guarded(HttpToolsProtocol):
    """A connection of uvicorn's that ends if its headers are not there in time, or too large."""

    HEADERS_S = 20.0
    """So long the headers of a request may take, however many pieces they come in."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._heading = False  # a request has begun, and its headers have not ended
        self._read = 0  # of them
        self._late: asyncio.TimerHandle | None = None
        self._too_large = False
        self._passed_on = False  # it is a WebSocket, and another protocol has it
        self.answered: RequestResponseCycle  # the request that is answered now: others may wait behind it
        self.answer: Answer | None = None  # what a container gives, until the response is whole
        self._at_once: Any = getattr(self.config.app, "at_once", None)

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > room():
            self._refuse(503, "there are too many connections; try again")
            return
        self._hasten()

    def connection_lost(self, exc: Exception | None) -> None:
        self._in_time()
        super().connection_lost(exc)
        if self.answer is not None:
            self.answer.finish()

    def resume_writing(self) -> None:
        super().resume_writing()
        if self.answer is not None:
            self.answer.go_on()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        if self._heading:
            self._read += len(data)
            if self._read > HEADERS:
                self._refuse(431, f"the headers are larger than {HEADERS >> 10} KiB")
        elif self._answering() or self._passed_on:
            return
        if self._late is None and not self.transport.is_closing():
            self._hasten()

    def handle_websocket_upgrade(self) -> None:
        self._passed_on = True
        super().handle_websocket_upgrade()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._heading, self._read = True, 0
        self.scope["extensions"] = {CONNECTION: cast("Any", self)}

    def on_headers_complete(self) -> None:
        self._heading = False
        self._in_time()
        size = len(self.url)
        for name, value in self.headers:
            size += len(name) + len(value)
            if name == b"transfer-encoding" and value.lower() != b"chunked":
                raise UnknownEncoding(value)  # where its body ends nobody knows
        if size > HEADERS:
            self._too_large = True
            raise TooLarge
        super().on_headers_complete()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self.answered = cycle
        if self._at_once is None or not self._at_once(self, cycle):
            super()._start_asgi_task(cycle, app)

    def send_400_response(self, msg: str) -> None:
        """Answers what is no HTTP; amid another answer it can only break off, lest this be taken for that one's."""
        if self._too_large:
            self._refuse(431, f"the headers are larger than {HEADERS >> 10} KiB")
        elif self._answering() and (self._heading or self.cycle.response_started):
            self.transport.abort()
        else:
            self._refuse(400, msg)

    def _refuse(self, status: int, text: str) -> None:
        body = f"{text}\n".encode()
        again = b"retry-after: 1\r\n" if status == 503 else b""
        self.transport.write(
            STATUS_LINE[status]
            + b"content-type: text/plain; charset=utf-8\r\ncontent-length: %d\r\n" % len(body)
            + again
            + b"connection: close\r\n\r\n"
            + body
        )
        self.transport.close()

    def _answering(self) -> bool:
        cycle: Any = self.cycle  # None before the first request
        return cycle is not None and not cycle.response_complete

    def _hasten(self) -> None:
        self._late = self.loop.call_later(self.HEADERS_S, self._too_late)

    def _in_time(self) -> None:
        if self._late is not None:
            self._late.cancel()
            self._late = None

    def _too_late(self) -> None:
        """Ends the connection; who has sent nothing, or nothing new, isn't waiting for an answer."""
        self._late = None
        if self._heading and not self._answering():
            self._refuse(408, f"the headers took longer than {self.HEADERS_S:g} s")
        self.transport.close()


def room() -> int:
    """How many connections there may be: half of the descriptors that this process may have are for other things."""
    return min(MOST, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2)


def make_room() -> None:
    """Raises the number of descriptors as far as this machine lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = FILES if hard == resource.RLIM_INFINITY else min(FILES, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))
