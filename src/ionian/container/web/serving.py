"""One web request as an input: an ASGI app runs, what it sends goes out as items, what it receives is asked for."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Awaitable, Callable
from functools import lru_cache
from typing import Any

from ... import execution, link
from ...protocol.container import RING
from ...protocol.web import (
    MESSAGE_TOO_LARGE,
    MOST_MESSAGE,
    PART,
    WINDOW,
    AwaitTaken,
    pack_event,
    pack_headers,
    pack_words,
)
from ..payloads import Raw
from ..results import own_frames, say
from .incoming import Incoming

App = Callable[
    [dict[str, Any], Callable[[], Awaitable[Any]], Callable[[Any], Awaitable[None]]], Awaitable[None]
]
Emit = Callable[[Raw], None]

MOST_REPEATED = 20
"""Headers of a response that is remembered, so that what is remembered is little."""

BEGAN = Raw(pack_event({"t": "began"}), opening=True)


class Served:
    """What runs an ASGI app for each request."""

    def __init__(self, app: App, state: dict[str, Any] | None = None) -> None:
        self._app = app
        self._state = state

    async def run(self, emit: Emit, scope: dict[str, Any], body: bytes, more: bool) -> None:
        """Runs one request to its end. What user code raises is printed and answered, and never leaves here."""
        scope["asgi"] = {"version": "3.0", "spec_version": "2.3"}
        if self._state is not None:
            scope["state"] = dict(self._state)
        kind = WebSocket if scope["type"] == "websocket" else Response
        exchange = kind(emit, execution.current_function_call_id() or "", body, more)
        emit(BEGAN)  # from here on the request is not run again, should its container die
        try:
            await self._app(scope, exchange.receive, exchange.send)
        except Exception as error:
            _print_failure(error)
            exchange.failed()
        else:
            exchange.ended()
        finally:
            exchange.incoming.close()


class Response:
    """The answer to an HTTP request."""

    def __init__(self, emit: Emit, call_id: str, body: bytes, more: bool) -> None:
        self._emit = emit
        self._call_id = call_id
        self.incoming = Incoming(call_id)
        self._body: bytes | None = body
        self._more = more
        self._start: tuple[int, Any] | None = None  # status and headers, until the body begins
        self._begun = False
        self._over = False
        self._sent = 0
        self._allowed = WINDOW

    async def receive(self) -> dict[str, Any]:
        """The next event of the request, as ASGI says."""
        if self._body is not None:
            body, self._body = self._body, None
            return {"type": "http.request", "body": body, "more_body": self._more}
        part, payload = await self.incoming.part()
        if part.kind != "body":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": bytes(payload), "more_body": part.more}

    async def send(self, message: dict[str, Any]) -> None:
        """Takes an event of the response, as ASGI says."""
        kind = message["type"]
        if kind == "http.response.start":
            if self._start is not None or self._begun:
                raise RuntimeError("the response has begun already: expected http.response.body")
            self._start = int(message["status"]), tuple(message.get("headers", ()))
        elif kind == "http.response.body":
            if self._start is None and not self._begun:
                raise RuntimeError("expected http.response.start first, got http.response.body")
            if not self._over:
                await self._send_body(memoryview(message.get("body", b"")), bool(message.get("more_body")))

    async def _send_body(self, body: memoryview, more: bool) -> None:
        while len(body) > PART:
            self._put(body[:PART], True)
            body = body[PART:]
            await self._room()
        self._put(body, more)
        if more:
            await self._room()

    def _put(self, body: memoryview, more: bool) -> None:
        start, self._start = self._start, None
        words = _body(more) if start is None else _head(*start, more)
        self._begun = True
        self._over = not more
        self._sent += len(body)
        self._emit(Raw(words + body, last=not more))

    async def _room(self) -> None:
        """Waits while the client is far behind."""
        if self._sent > self._allowed:
            await link.current().request_async(AwaitTaken(self._call_id, self._sent))
            self._allowed = self._sent + WINDOW

    def failed(self) -> None:
        """User code has raised."""
        if not self._begun:
            self._start = 500, ((b"content-type", b"text/plain; charset=utf-8"),)
            self._put(memoryview(b"Internal Server Error"), False)
        elif not self._over:
            self._cut()

    def ended(self) -> None:
        """User code has returned."""
        if self._over:
            return
        if self._begun:
            self._cut()
            return
        what = "sent no response" if self._start is None else "sent no body"
        print(f"the ASGI app returned and {what}", file=sys.stderr)
        self._start = None
        self.failed()

    def _cut(self) -> None:
        self._over = True
        self._emit(Raw(pack_event({"t": "cut"}), last=True))


def _head(status: int, headers: tuple[Any, ...], more: bool) -> bytes:
    """The words of a response's beginning: those of before, where they are the same, as they are from request to request."""
    if len(headers) > MOST_REPEATED:
        return _new_head(status, headers, more)
    try:
        return _head_again(status, headers, more)
    except TypeError:  # of parts that can't be compared, such as lists
        return _new_head(status, headers, more)


def _new_head(status: int, headers: tuple[Any, ...], more: bool) -> bytes:
    return pack_words({"t": "start", "s": status, "h": pack_headers(headers), "m": more})


_head_again = lru_cache(64)(_new_head)


def _body(more: bool) -> bytes:
    return MORE if more else LAST


MORE, LAST = pack_words({"t": "body", "m": True}), pack_words({"t": "body", "m": False})


class WebSocket:
    """The container's side of a WebSocket."""

    def __init__(self, emit: Emit, call_id: str, body: bytes, more: bool) -> None:
        self._emit = emit
        self._call_id = call_id
        self.incoming = Incoming(call_id)
        self._connected = False
        self._closed = False
        self._sent = 0
        self._allowed = WINDOW

    async def receive(self) -> dict[str, Any]:
        """The next event, as ASGI says."""
        if not self._connected:
            self._connected = True
            return {"type": "websocket.connect"}
        part, content = await self.incoming.message()
        if part.kind == "text":
            return {"type": "websocket.receive", "text": content.decode()}
        if part.kind == "bytes":
            return {"type": "websocket.receive", "bytes": content}
        self._closed = True
        return {"type": "websocket.disconnect", "code": part.code}

    async def send(self, message: dict[str, Any]) -> None:
        """Takes an event, as ASGI says."""
        kind = message["type"]
        if kind == "websocket.accept":
            headers = pack_headers(message.get("headers", ()))
            self._put({"t": "accept", "p": message.get("subprotocol"), "h": headers})
        elif kind == "websocket.send":
            words = message.get("text")
            body = message.get("bytes", b"") if words is None else words.encode()
            await self._send("bytes" if words is None else "text", memoryview(body))
        elif kind == "websocket.close":
            self._close(message.get("code", 1000), message.get("reason") or "")

    async def _send(self, kind: str, body: memoryview) -> None:
        """A message, in pieces; waits while the client is far behind."""
        if len(body) > MOST_MESSAGE:
            problem = f"{MESSAGE_TOO_LARGE}, got {len(body):,} bytes"
            say(f"{problem}: the WebSocket is closed\n")
            self._close(1009, problem)
        if self._closed:
            return
        for at in range(0, max(len(body), 1), PART):
            piece = body[at : at + PART]
            self._sent += len(piece)
            self._put({"t": kind, "m": at + PART < len(body)}, piece)
            if self._sent > self._allowed:
                await link.current().request_async(AwaitTaken(self._call_id, self._sent))
                self._allowed = self._sent + WINDOW

    def _put(self, event: dict[str, Any], body: bytes | memoryview = b"") -> None:
        self._emit(Raw(pack_event(event, body)))

    def _close(self, code: int, reason: str) -> None:
        if not self._closed:
            self._closed = True
            self._put({"t": "close", "c": code, "r": reason})

    def failed(self) -> None:
        """User code has raised."""
        self._close(1011, "")

    def ended(self) -> None:
        """User code has returned."""
        self._close(1000, "")


def _print_failure(error: BaseException) -> None:
    """Prints what user code raised, without our own frames."""
    lines = ["Traceback (most recent call last):\n", *traceback.format_list(own_frames(error, f"{RING}/"))]
    say("".join(lines + traceback.format_exception_only(type(error), error)))
