"""The ASGI app that the server's HTTP listener runs: it finds the function of each request and passes events on."""

from __future__ import annotations

import asyncio
import logging
import pickle
from typing import TYPE_CHECKING, Any

from ...protocol.stream import Refused
from ...protocol.web import (
    INLINE_BODY,
    MESSAGE_PART,
    MESSAGE_TOO_LARGE,
    MOST_MESSAGE,
    PART,
    Part,
    unpack_headers,
)
from ..attempts import TooManyAttempts
from ..auth import PermissionDenied
from .answer import Answer, plain
from .exchange import GONE, Ended, Exchange
from .guard import CONNECTION

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

    from .addresses import Route
    from .guard import Guarded
    from .web import Web

log = logging.getLogger("ionian.server")

MOST_WAITING = 1000
"""Requests of one function that wait for a container; one more is told to come again."""

SPECIAL = frozenset(
    (b"content-length", b"transfer-encoding", b"upgrade", b"x-forwarded-for", b"x-forwarded-proto")
)
"""Headers of requests that are more than their first line and headers, or of which uvicorn reads something."""

COOKIES = b"ionian_dashboard_"
"""With this the names of the dashboard's cookies begin."""

MOST_BODY = 4 << 30
"""Bytes, as Modal has it."""

TOO_LARGE = f"a body may have {MOST_BODY >> 30} GiB"

UNTOLD = -1

BODY_S = 20.0
BODY_PACE = 500
"""The first 256 KiB of a body, before which no container is asked for, may take 20 s and a second more for each 500 bytes,
the defaults of Apache's mod_reqtimeout."""

CLOSE_S = 10.0
"""For so long a WebSocket's function may go on behind its client's end: then it is interrupted."""


class Ingress:
    """Answers what comes in."""

    def __init__(self, web: Web) -> None:
        self._web = web

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        length, host, problem = looked_at(scope["headers"])
        if problem is not None:
            await refuse(scope, receive, send, *problem)
            return
        route, root = self._route(scope, host)
        if route is None:
            await refuse(scope, receive, send, 404, "there is no web endpoint at this address")
            return
        problem = await self._may(scope, route)
        if problem is not None:
            await refuse(scope, receive, send, *problem)
            return
        if scope["type"] == "websocket":
            await self._socket(scope, receive, send, route, root)
        else:
            await self._request(scope, receive, send, route, root, length)

    def _route(self, scope: dict[str, Any], host: str) -> tuple[Route | None, str]:
        route = self._web.addresses.by_host(host)
        if route is not None:
            return route, ""
        found = self._web.addresses.by_path(scope["path"])
        return found if found is not None else (None, "")

    async def _may(self, scope: dict[str, Any], route: Route) -> tuple[int, str] | None:
        """Why a request is not passed on, if it is not."""
        if route.web.requires_proxy_auth and (problem := await self._unknown(scope, route)) is not None:
            return problem
        return self._refusal(route)

    def _refusal(self, route: Route) -> tuple[int, str] | None:
        """Why a function takes no more requests now, if it takes none."""
        if why := self._web.refused(route.app_id):
            return 503, why
        if self._web.waiting(route.function_id) >= MOST_WAITING:
            return 503, f"{MOST_WAITING} requests wait for a container of {route.tag} already; try again"
        return None

    async def _unknown(self, scope: dict[str, Any], route: Route) -> tuple[int, str] | None:
        """Why a client may not ask, where a token is wanted."""
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        token = f"{headers.get(b'modal-key', '')}.{headers.get(b'modal-secret', '')}"
        address = (scope.get("client") or ("",))[0]
        try:
            await asyncio.to_thread(self._web.check_token, token, address, route.function_id)
        except TooManyAttempts as refused:
            return 429, refused.message
        except PermissionDenied as refused:
            return 403, refused.message
        except Refused:
            return 401, "expected a token in the headers Modal-Key (ti-...) and Modal-Secret"
        return None

    # --- HTTP

    async def _request(
        self, scope: dict[str, Any], receive: Any, send: Any, route: Route, root: str, length: int
    ) -> None:
        try:
            body, more = await (beginning(receive) if length else _whole(receive))
        except TimeoutError:
            await refuse(scope, receive, send, 408, "the body came too slowly")
            return
        if body is None:
            return  # the client has gone already
        connection: Guarded = scope["extensions"][CONNECTION]
        answer = self._answer(connection, connection.answered, route, _input(scope, root, route, body, more))
        incoming = asyncio.ensure_future(self._pass_in(answer.exchange, receive, len(body))) if more else None
        try:
            await answer.finished()
        finally:
            if incoming is not None:
                incoming.cancel()
            answer.finish()

    def _answer(
        self, connection: Guarded, cycle: RequestResponseCycle, route: Route, payload: bytes
    ) -> Answer:
        """Asks for a container, whose answer is written as it comes."""
        exchange = self._web.open(route, payload, cycle.scope["headers"])
        connection.flow.resume_reading()  # uvicorn does so where more is asked for: else nobody sees that the client goes
        return Answer(exchange, connection, cycle, route.tag, self._web.close)

    def at_once(self, connection: Guarded, cycle: RequestResponseCycle) -> bool:
        """Answers a request that is all here and asks for nothing special, as most do, without a task of its own. False:
        it is not one of them."""
        scope: Any = cycle.scope
        hosts: list[bytes] = []
        for name, value in scope["headers"]:
            if name in SPECIAL:
                return False
            if name == b"host":
                hosts.append(value)
        if len(hosts) > 1 or cycle.waiting_for_100_continue:
            return False
        route, root = self._route(scope, hosts[0].decode("latin-1") if hosts else "")
        if route is None or route.web.requires_proxy_auth or self._refusal(route) is not None:
            return False
        self._answer(connection, cycle, route, _input(scope, root, route, b"", False))
        return True

    async def _pass_in(self, exchange: Exchange, receive: Any, size: int) -> None:
        """The rest of the body."""
        more = True
        while more:
            event = await receive()
            if event["type"] == "http.disconnect":
                return
            more = event.get("more_body", False)
            body = event.get("body", b"")
            size += len(body)
            if size > MOST_BODY:
                exchange.end(413, TOO_LARGE)
                return
            for at in range(0, max(len(body), 1), PART):
                last = at + PART >= len(body)
                await exchange.put(Part("body", more or not last), body[at : at + PART])

    # --- WebSockets

    async def _socket(self, scope: dict[str, Any], receive: Any, send: Any, route: Route, root: str) -> None:
        await receive()  # websocket.connect
        exchange = self._web.open(route, _input(scope, root, route, b"", False), scope["headers"])
        incoming = asyncio.ensure_future(self._messages_in(exchange, receive))
        try:
            await self._messages_out(exchange, send, route)
        finally:
            incoming.cancel()
            self._web.close(exchange)

    async def _messages_in(self, exchange: Exchange, receive: Any) -> None:
        while True:
            event = await receive()
            if event["type"] != "websocket.receive":
                exchange.over(event.get("code", 1005))
                asyncio.get_running_loop().call_later(CLOSE_S, self._web.close, exchange)
                return
            text = event.get("text")
            kind, content = ("bytes", event["bytes"]) if text is None else ("text", text.encode())
            for at in range(0, max(len(content), 1), MESSAGE_PART):
                more = at + MESSAGE_PART < len(content)
                await exchange.put(Part(kind, more), content[at : at + MESSAGE_PART])

    async def _messages_out(self, exchange: Exchange, send: Any, route: Route) -> None:
        closed = False
        message = bytearray()  # as far as it is here
        while True:
            event = await exchange.event()
            if isinstance(event, Ended):
                if event is GONE:
                    return
                if event.problem:
                    log.info("WebSocket of %s: %s", route.tag, event.problem)
                if not closed:
                    await send({"type": "websocket.close", "code": 1011, "reason": ""})
                return
            words, content = event
            kind = words.get("t")
            if closed:
                pass
            elif kind == "accept":
                headers = unpack_headers(words["h"])
                await send({"type": "websocket.accept", "subprotocol": words.get("p"), "headers": headers})
            elif kind in ("text", "bytes"):
                message += content
                if len(message) > MOST_MESSAGE:
                    closed = True
                    await send({"type": "websocket.close", "code": 1009, "reason": MESSAGE_TOO_LARGE})
                elif not words.get("m"):
                    whole, message = bytes(message), bytearray()
                    await send({"type": "websocket.send", kind: whole.decode() if kind == "text" else whole})
            elif kind == "close":
                closed = True
                await send({"type": "websocket.close", "code": int(words["c"]), "reason": str(words["r"])})
            exchange.taken(len(content))


def looked_at(headers: list[tuple[bytes, bytes]]) -> tuple[int, str, tuple[int, str] | None]:
    """The length of a request's body (UNTOLD where it says none, 0 where there is none), its host, and why it is refused.

    Lengths that contradict each other, or the encoding, the parser has refused (RFC 9112, 6.3).
    """
    length = 0
    hosts: list[str] = []
    for name, value in headers:
        if name == b"host":
            hosts.append(value.decode("latin-1"))
        elif name == b"content-length":
            length = int(value)
        elif name == b"transfer-encoding":
            length = UNTOLD
    if length > MOST_BODY:
        return length, "", (413, TOO_LARGE)
    if len(hosts) > 1:
        return length, "", (400, "expected one Host header, got several")
    return length, hosts[0] if hosts else "", None


async def _whole(receive: Any) -> tuple[bytes | None, bool]:
    """The body of a request that has none."""
    event = await receive()
    return (b"", False) if event["type"] == "http.request" else (None, False)


async def beginning(
    receive: Any, *, patience_s: float = BODY_S, pace: int = BODY_PACE
) -> tuple[bytes | None, bool]:
    """The first part of a body, and whether there is more of it. None: the client has gone.

    Raises TimeoutError where it comes too slowly: no container waits for it yet, so no `timeout` ends it.
    """
    begun = asyncio.get_running_loop().time()
    parts: list[bytes] = []
    size, more = 0, True
    async with asyncio.timeout_at(begun + patience_s) as limit:
        while more and size < INLINE_BODY:
            event = await receive()
            if event["type"] != "http.request":
                return None, False
            more = event.get("more_body", False)
            parts.append(event.get("body", b""))
            size += len(parts[-1])
            limit.reschedule(begun + patience_s + size / pace)
    return b"".join(parts), more


def _input(scope: dict[str, Any], root: str, route: Route, body: bytes, more: bool) -> bytes:
    """A request as its function's input: what ASGI says of it, plain values, pickled."""
    packed = {
        "type": scope["type"],
        "http_version": scope["http_version"],
        "method": scope.get("method", "GET"),
        "scheme": scope["scheme"],
        "path": scope["path"] if scope["path"] != root else f"{root}/",
        "raw_path": scope.get("raw_path") or b"",
        "query_string": scope["query_string"],
        "root_path": root,
        "headers": for_apps(scope["headers"]),
        "client": scope.get("client"),
        "server": scope.get("server"),
    }
    if scope["type"] == "websocket":
        packed["subprotocols"] = scope.get("subprotocols", [])
    args = (packed, body, more)
    given: tuple[Any, ...] = (args, {}, route.method) if route.method else (args, {})
    return pickle.dumps(given, protocol=4)


def for_apps(headers: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    """Headers without the cookies of the dashboard: browsers send them to every port of its host, and apps have one."""
    if not any(name == b"cookie" and COOKIES in value for name, value in headers):
        return headers
    found: list[tuple[bytes, bytes]] = []
    for name, value in headers:
        if name == b"cookie":
            kept = [part for part in value.split(b";") if not part.strip().startswith(COOKIES)]
            if not kept:
                continue
            value = b";".join(kept).strip()
        found.append((name, value))
    return found


async def refuse(scope: dict[str, Any], receive: Any, send: Any, status: int, text: str) -> None:
    """Answers for the server itself."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1013 if status == 503 else 1008, "reason": text[:100]})
        return
    await _plain(send, status, text)


async def _plain(send: Any, status: int, text: str) -> None:
    body, headers = plain(status, text)
    pairs = [(name.encode(), value.encode()) for name, value in headers]
    await send({"type": "http.response.start", "status": status, "headers": pairs})
    await send({"type": "http.response.body", "body": body})
