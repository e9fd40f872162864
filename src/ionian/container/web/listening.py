"""A server that user code started in the container, as an ASGI app: each request goes to its port, and the answer back."""

from __future__ import annotations

import sys
import time
from typing import Any

from ...exception import ExecutionError
from ...protocol.container import RING

SUPPLIED = f"{RING}/supplied"
"""Where h11 and wsproto lie, for images that have none of their own."""

READ = 64 << 10

HOP = {b"connection", b"keep-alive", b"proxy-connection", b"te", b"trailer", b"transfer-encoding", b"upgrade"}
"""Headers of one connection, which no proxy passes on (RFC 9110, 7.6.1)."""


class Listening:
    """Passes requests on to a port of this container."""

    def __init__(self, port: int) -> None:
        self._port = port
        sys.path.append(SUPPLIED)

    async def listens(self, within_s: float) -> None:
        """Waits until something listens. Raises ExecutionError where nothing does in time."""
        import asyncio

        until = time.monotonic() + within_s
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", self._port)
            except OSError:
                if time.monotonic() >= until:
                    raise ExecutionError(
                        f"nothing listened on port {self._port} within {within_s:g} s: start the server in the function, and "
                        "raise it with @modal.web_server(…, startup_timeout=…) if it takes longer"
                    ) from None
                await asyncio.sleep(0.02)
            else:
                writer.close()
                return

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        import asyncio

        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        except OSError as error:
            await _refuse(scope, send, f"nothing listens on port {self._port}: {error.strerror}")
            return
        try:
            if scope["type"] == "websocket":
                from .tunnelled import tunnel

                await tunnel(scope, receive, send, reader, writer)
            else:
                await _pass_on(scope, receive, send, reader, writer)
        finally:
            writer.close()


async def _refuse(scope: dict[str, Any], send: Any, text: str) -> None:
    print(text, file=sys.stderr)
    if scope["type"] == "websocket":
        await send({"type": "websocket.close", "code": 1011, "reason": "Bad Gateway"})
        return
    headers = [(b"content-type", b"text/plain; charset=utf-8")]
    await send({"type": "http.response.start", "status": 502, "headers": headers})
    await send({"type": "http.response.body", "body": b"Bad Gateway"})


async def _pass_on(scope: dict[str, Any], receive: Any, send: Any, reader: Any, writer: Any) -> None:
    """One HTTP request and its answer, both part by part."""
    import asyncio

    import h11

    connection = h11.Connection(h11.CLIENT)
    writer.write(
        connection.send(h11.Request(method=scope["method"], target=target(scope), headers=_headers(scope)))
    )
    sending = asyncio.ensure_future(_send_body(connection, receive, writer, h11))
    try:
        await _answer(connection, reader, send, h11)
    finally:
        sending.cancel()


async def _send_body(connection: Any, receive: Any, writer: Any, h11: Any) -> None:
    more = True
    while more:
        event = await receive()
        if event["type"] != "http.request":
            writer.close()
            return
        more = event["more_body"]
        if event["body"]:
            writer.write(connection.send(h11.Data(data=event["body"])))
        if not more:
            writer.write(connection.send(h11.EndOfMessage()))
        await writer.drain()


async def _answer(connection: Any, reader: Any, send: Any, h11: Any) -> None:
    begun = False
    try:
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await reader.read(READ))
            elif isinstance(event, h11.Response):
                headers = [(name, value) for name, value in event.headers if name not in HOP]
                await send({"type": "http.response.start", "status": event.status_code, "headers": headers})
                begun = True
            elif isinstance(event, h11.Data):
                await send({"type": "http.response.body", "body": bytes(event.data), "more_body": True})
            elif isinstance(event, h11.EndOfMessage):
                await send({"type": "http.response.body", "body": b""})
                return
            elif isinstance(event, h11.ConnectionClosed):
                raise h11.RemoteProtocolError("the connection was closed")
    except (h11.RemoteProtocolError, OSError) as error:
        if begun:
            raise ConnectionError(f"the server broke its answer off: {error}") from None
        await _refuse({"type": "http"}, send, f"the server gave no answer: {error}")


def target(scope: dict[str, Any]) -> bytes:
    """What is asked for, as the server is to see it: below its root."""
    from urllib.parse import quote

    path = scope["path"][len(scope["root_path"]) :] or "/"
    query = scope["query_string"]
    return quote(path, safe="/:@!$&'()*+,;=~").encode() + (b"?" + query if query else b"")


def _headers(scope: dict[str, Any]) -> list[tuple[bytes, bytes]]:
    headers = [(name, value) for name, value in scope["headers"] if name not in HOP]
    names = {name for name, _ in headers}
    if b"host" not in names:
        headers.insert(0, (b"host", b"localhost"))
    if b"content-length" not in names and scope["method"] not in (
        "GET",
        "HEAD",
        "OPTIONS",
        "DELETE",
        "TRACE",
    ):
        headers.append((b"transfer-encoding", b"chunked"))
    return [*headers, (b"connection", b"close")]
