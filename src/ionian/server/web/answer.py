"""The answer to an HTTP request: written to its connection as it comes from the container, in the turn of the loop in which it
comes. No task waits for it: one would cost more than all else here."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from uvicorn.protocols.http.httptools_impl import HEADER_RE, HEADER_VALUE_RE, STATUS_LINE

from .exchange import GONE, Ended

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from .exchange import Exchange, Words
    from .guard import Guarded

log = logging.getLogger("ionian.server")

RETRY_AFTER_S = 1

NO_BODY = (204, 304)


class Framing(NamedTuple):
    """What the headers of a response say of it."""

    status: int
    headers: bytes
    length: int
    chunked: bool | None
    closes: bool

    @classmethod
    def of(cls, status: int, headers: list[tuple[str, str]]) -> Framing:
        """Reads them, and refuses what would be taken for other headers. Raises ValueError, TypeError, KeyError or
        AttributeError where they are none."""
        STATUS_LINE[status]
        names = [name.lower() for name, _ in headers]
        values = [value for _, value in headers]
        if HEADER_RE.search("".join(names).encode("latin-1")) or not all(names):
            raise ValueError("a name of a header is none")
        if HEADER_VALUE_RE.search("".join(values).encode("latin-1")):
            raise ValueError("a value of a header is none")
        length, chunked, closes = 0, None, False
        for name, value in zip(names, values, strict=True):
            if name == "content-length" and chunked is None:
                length, chunked = _length(value), False
            elif name == "transfer-encoding" and value.lower() == "chunked":
                length, chunked = 0, True
            elif name == "connection" and "close" in [each.strip() for each in value.lower().split(",")]:
                closes = True
        lines = "".join([f"{name}: {value}\r\n" for name, value in zip(names, values, strict=True)])
        return cls(status, lines.encode("latin-1"), length, chunked, closes)


class Answer:
    """Plays what uvicorn's `send` does, without its coroutines: the cycle is uvicorn's, and holds how far the response is."""

    def __init__(
        self,
        exchange: Exchange,
        connection: Guarded,
        cycle: RequestResponseCycle,
        tag: str,
        over: Callable[[Exchange], None],
    ) -> None:
        self._over = over
        self.exchange = exchange
        self._connection = connection
        self._cycle = cycle
        self._tag = tag
        self._finished = False
        self._waiter: asyncio.Future[None] | None = None
        connection.answer = self
        exchange.listener = self.go_on
        self.go_on()

    def go_on(self) -> None:
        """Writes what is there, as far as the client takes it."""
        flow = self._connection.flow
        while not self._finished and (self._cycle.response_complete or not flow.write_paused):
            event = self.exchange.next()
            if event is None:
                return
            if isinstance(event, Ended):
                self._ended(event)
                return
            if not self._cycle.response_complete:  # what user code does behind its answer goes on
                self._said(*event)
            self.exchange.taken(len(event[1]))

    def finish(self) -> None:
        """Nothing more comes of it, or its client has gone: what runs of it is interrupted."""
        if self._finished:
            return
        self._finished = True
        self.exchange.listener = None
        self._leave_connection()
        self._over(self.exchange)
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    async def finished(self) -> None:
        """Comes back at its end."""
        if not self._finished:
            self._waiter = asyncio.get_running_loop().create_future()
            await self._waiter

    def _leave_connection(self) -> None:
        if self._connection.answer is self:
            self._connection.answer = None

    def _said(self, words: Words, content: memoryview) -> None:
        """An event from the container, which may be anything."""
        kind = words.get("t")
        if kind == "began":
            return
        begun = self._cycle.response_started
        if (kind == "start") is begun or kind not in ("start", "body"):
            self._nonsense(f"expected the next part of a response, got {str(kind)[:20]}")
            return
        try:
            if begun:
                head = b""
            else:
                framing = words.framing = words.framing or Framing.of(words["s"], words["h"])
                head = self._head(framing)
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            self._nonsense(f"expected a status and headers: {type(error).__name__} {error}")
            return
        self._write(head, content, more=bool(words.get("m")))

    def _ended(self, end: Ended) -> None:
        cycle = self._cycle
        if not cycle.response_complete and end is not GONE:
            if end.problem:
                log.info("web request of %s: %s", self._tag, end.problem)
            if cycle.response_started:
                self._break_off()
            else:
                self._plain(end.status if end.problem else 500, end.problem or "it gave no answer")
        self.finish()

    def _nonsense(self, problem: str) -> None:
        self._ended(Ended(500, f"its container answered as no web function does: {problem}"))

    def _break_off(self) -> None:
        """Ends the connection, so that the client sees that the response is not whole."""
        self._cycle.disconnected = True  # uvicorn says nothing of it then
        self._connection.transport.close()

    def _plain(self, status: int, text: str) -> None:
        body, headers = plain(status, text)
        self._write(self._head(Framing.of(status, headers)), memoryview(body), more=False)

    # --- HTTP

    def _head(self, framing: Framing) -> bytes:
        """The first line and the headers of the response, and in its cycle how its body is framed."""
        cycle = self._cycle
        chunked = framing.chunked
        if chunked is None and cycle.scope["method"] != "HEAD" and framing.status not in NO_BODY:
            chunked = True
        keeps = cycle.keep_alive and not framing.closes
        cycle.keep_alive, cycle.chunked_encoding, cycle.expected_content_length = (
            keeps,
            chunked,
            framing.length,
        )
        cycle.response_started, cycle.waiting_for_100_continue = True, False
        own = [b"%s: %s\r\n" % pair for pair in cycle.default_headers]
        closes = b"" if keeps or framing.closes else b"connection: close\r\n"
        encoding = b"transfer-encoding: chunked\r\n" if chunked and framing.chunked is None else b""
        return b"".join((STATUS_LINE[framing.status], *own, framing.headers, closes, encoding, b"\r\n"))

    def _write(self, head: bytes, content: memoryview, *, more: bool) -> None:
        """A part of the body, and the head in front of it: in one system call, and one packet where it is small."""
        cycle, transport = self._cycle, self._connection.transport
        if cycle.scope["method"] == "HEAD":
            cycle.expected_content_length = 0
            parts = (head,)
        elif cycle.chunked_encoding:
            sized = (b"%x\r\n" % len(content), content, b"\r\n") if content else ()
            parts = (head, *sized, b"" if more else b"0\r\n\r\n")
        else:
            cycle.expected_content_length -= len(content)
            parts = (head, content)
        if cycle.expected_content_length < 0 or (cycle.expected_content_length and not more):
            if head:
                transport.write(head)
            log.info("web request of %s: its body is not as long as its Content-Length says", self._tag)
            self._break_off()
            self.finish()
            return
        transport.write(b"".join(parts))
        if more:
            return
        self._leave_connection()
        cycle.response_complete = True
        cycle.message_event.set()
        if not cycle.keep_alive:
            transport.close()
        cycle.on_response()


def _length(value: str) -> int:
    if not (value.isascii() and value.isdigit()):
        raise ValueError("a Content-Length is no number")
    return int(value)


def plain(status: int, text: str) -> tuple[bytes, list[tuple[str, str]]]:
    """The body and the headers of what the server says itself."""
    body = f"{text}\n".encode()
    headers = [("content-type", "text/plain; charset=utf-8"), ("content-length", str(len(body)))]
    if status == 503:
        headers.append(("retry-after", str(RETRY_AFTER_S)))
    elif status in (408, 413):
        headers.append(("connection", "close"))  # what comes of the body is not read
    return body, headers
