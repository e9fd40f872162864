"""The ASGI app that the server's HTTP listener runs: it finds the function of each request and passes events on."""

from __future__ import annotations

import asyncio
import json
import logging
import pickle
from typing import TYPE_CHECKING, Any

from ...protocol.stream import Refused
from ...protocol.web import INLINE_BODY, PART, Part, pack_headers, unpack_headers
from ..auth import authenticate
from .exchange import Ended, Exchange

if TYPE_CHECKING:
    from .addresses import Route
    from .web import Web

log = logging.getLogger("ionian.server")

MOST_WAITING = 1000
"""Requests of one function that wait for a container; one more is told to come again."""

RETRY_AFTER_S = 1

COOKIES = b"ionian_dashboard_"
"""With this the names of the dashboard's cookies begin."""

CLOSE_S = 10.0
"""For so long a WebSocket's function may go on behind its client's end: then it is interrupted."""


class Ingress:
    """Answers what comes in."""

    def __init__(self, web: Web) -> None:
        self._web = web

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] not in ("http", "websocket"):
            return
        route, root = self._route(scope)
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
            await self._request(scope, receive, send, route, root)

    def _route(self, scope: dict[str, Any]) -> tuple[Route | None, str]:
        host = next((value for name, value in scope["headers"] if name == b"host"), b"").decode("latin-1")
        route = self._web.addresses.by_host(host)
        if route is not None:
            return route, ""
        found = self._web.addresses.by_path(scope["path"])
        return found if found is not None else (None, "")

    async def _may(self, scope: dict[str, Any], route: Route) -> tuple[int, str] | None:
        """Why a request is not passed on, if it is not."""
        if route.web.requires_proxy_auth and not await self._authenticated(scope):
            return 401, "expected a token in the headers Modal-Key (ti-...) and Modal-Secret"
        if self._web.waiting(route.function_id) >= MOST_WAITING:
            return 503, f"{MOST_WAITING} requests wait for a container of {route.tag} already; try again"
        return None

    async def _authenticated(self, scope: dict[str, Any]) -> bool:
        headers = {name: value.decode("latin-1") for name, value in scope["headers"]}
        token = f"{headers.get(b'modal-key', '')}.{headers.get(b'modal-secret', '')}"
        try:
            await asyncio.to_thread(authenticate, self._web.store, token, role="client", peer_id="cl-web")
        except Refused:
            return False
        return True

    # --- HTTP

    async def _request(self, scope: dict[str, Any], receive: Any, send: Any, route: Route, root: str) -> None:
        body, more = await _beginning(receive)
        if body is None:
            return  # the client has gone already
        exchange = self._web.open(route, _input(scope, root, route, body, more))
        incoming = asyncio.ensure_future(self._pass_in(exchange, receive, more))
        try:
            await self._pass_out(exchange, scope, send, route)
        finally:
            incoming.cancel()
            self._web.close(exchange)

    async def _pass_in(self, exchange: Exchange, receive: Any, more: bool) -> None:
        """The rest of the body; and the client's end, with which the input ends."""
        while True:
            event = await receive()
            if event["type"] == "http.disconnect":
                self._web.close(exchange)
                return
            if more:
                more = event.get("more_body", False)
                body = event.get("body", b"")
                for at in range(0, max(len(body), 1), PART):
                    last = at + PART >= len(body)
                    await exchange.put(Part("body", more or not last), body[at : at + PART])

    async def _pass_out(self, exchange: Exchange, scope: dict[str, Any], send: Any, route: Route) -> None:
        begun = over = False
        while True:
            event = await exchange.event()
            if isinstance(event, Ended):
                if over:
                    return
                if event.problem:
                    log.info("web request of %s: %s", route.tag, event.problem)
                if begun:
                    raise BrokenOff  # the listener ends the connection, so that the client sees that it is not whole
                await _plain(
                    send, event.status if event.problem else 500, event.problem or "it gave no answer"
                )
                return
            words, content = event
            kind = words.get("t")
            if kind == "began" or over:
                continue
            if kind == "start" and not begun:
                begun = True
                headers = unpack_headers(words["h"])
                await send({"type": "http.response.start", "status": int(words["s"]), "headers": headers})
            elif kind != "body" or not begun:
                raise BrokenOff
            more = bool(words.get("m"))
            await send({"type": "http.response.body", "body": bytes(content), "more_body": more})
            exchange.taken(len(content))
            over = not more

    # --- WebSockets

    async def _socket(self, scope: dict[str, Any], receive: Any, send: Any, route: Route, root: str) -> None:
        await receive()  # websocket.connect
        exchange = self._web.open(route, _input(scope, root, route, b"", False))
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
            words = event.get("text")
            if words is None:
                await exchange.put(Part("bytes"), event["bytes"])
            else:
                await exchange.put(Part("text"), words.encode())

    async def _messages_out(self, exchange: Exchange, send: Any, route: Route) -> None:
        closed = False
        while True:
            event = await exchange.event()
            if isinstance(event, Ended):
                if event.problem:
                    log.info("WebSocket of %s: %s", route.tag, event.problem)
                if not closed:
                    await send({"type": "websocket.close", "code": 1011, "reason": ""})
                return
            words, content = event
            kind = words.get("t")
            if kind == "accept":
                headers = unpack_headers(words["h"])
                await send({"type": "websocket.accept", "subprotocol": words.get("p"), "headers": headers})
            elif kind == "text":
                await send({"type": "websocket.send", "text": bytes(content).decode()})
            elif kind == "bytes":
                await send({"type": "websocket.send", "bytes": bytes(content)})
            elif kind == "close" and not closed:
                closed = True
                await send({"type": "websocket.close", "code": int(words["c"]), "reason": str(words["r"])})
            exchange.taken(len(content))


class BrokenOff(Exception):
    """A response can't be ended as it was begun."""


async def _beginning(receive: Any) -> tuple[bytes | None, bool]:
    """The first part of a body, and whether there is more of it. None: the client has gone."""
    event = await receive()
    if event["type"] != "http.request":
        return None, False
    body, more = event.get("body", b""), event.get("more_body", False)
    if not more:
        return body, False
    parts = [body]
    size = len(body)
    while more and size < INLINE_BODY:
        event = await receive()
        if event["type"] != "http.request":
            return None, False
        more = event.get("more_body", False)
        parts.append(event.get("body", b""))
        size += len(parts[-1])
    return b"".join(parts), more


def _input(scope: dict[str, Any], root: str, route: Route, body: bytes, more: bool) -> bytes:
    """A request as its function's input: plain values, pickled."""
    packed = {
        "type": scope["type"],
        "http_version": scope["http_version"],
        "method": scope.get("method", "GET"),
        "scheme": scope["scheme"],
        "path": scope["path"] if scope["path"] != root else f"{root}/",
        "raw_path": (scope.get("raw_path") or b"").decode("latin-1"),
        "query_string": scope["query_string"].decode("latin-1"),
        "root_path": root,
        "headers": pack_headers(for_apps(scope["headers"])),
        "client": scope.get("client"),
        "server": scope.get("server"),
    }
    if scope["type"] == "websocket":
        packed["subprotocols"] = scope.get("subprotocols", [])
    args = (json.dumps(packed), body, more)
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
    body = f"{text}\n".encode()
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    if status == 503:
        headers.append((b"retry-after", str(RETRY_AFTER_S).encode()))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})
