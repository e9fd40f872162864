"""A WebSocket of a server that user code started in the container."""

from __future__ import annotations

from typing import Any

READ = 64 << 10


async def tunnel(scope: dict[str, Any], receive: Any, send: Any, reader: Any, writer: Any) -> None:
    """Passes messages on in both directions until one side closes."""
    import asyncio

    from wsproto import ConnectionType, WSConnection
    from wsproto.events import AcceptConnection, RejectConnection, Request
    from wsproto.utilities import RemoteProtocolError

    from .listening import target

    await receive()  # websocket.connect
    connection = WSConnection(ConnectionType.CLIENT)
    own = (b"host", b"connection", b"upgrade")
    headers = [
        (name, value)
        for name, value in scope["headers"]
        if name not in own and not name.startswith(b"sec-websocket-")
    ]
    request = Request(
        "localhost", target(scope).decode(), extra_headers=headers, subprotocols=scope["subprotocols"]
    )
    writer.write(connection.send(request))
    try:
        answer = await _next(connection, reader)
    except RemoteProtocolError:
        answer = None
    if not isinstance(answer, AcceptConnection):
        refused = isinstance(answer, RejectConnection)
        await send({"type": "websocket.close", "code": 1008 if refused else 1011})
        return
    await send(
        {"type": "websocket.accept", "subprotocol": answer.subprotocol, "headers": answer.extra_headers}
    )
    inward = asyncio.ensure_future(_inward(connection, receive, writer))
    outward = asyncio.ensure_future(_outward(connection, reader, send, writer))
    await asyncio.wait([inward, outward], return_when=asyncio.FIRST_COMPLETED)
    for task in (inward, outward):
        task.cancel()
    await asyncio.gather(inward, outward, return_exceptions=True)


async def _next(connection: Any, reader: Any) -> Any:
    while True:
        for event in connection.events():
            return event
        connection.receive_data(await reader.read(READ) or None)


async def _inward(connection: Any, receive: Any, writer: Any) -> None:
    from wsproto.events import BytesMessage, CloseConnection, TextMessage

    while True:
        event = await receive()
        if event["type"] != "websocket.receive":
            writer.write(connection.send(CloseConnection(1001 if event["code"] == 1005 else event["code"])))
            await writer.drain()
            return
        words = event.get("text")
        message = BytesMessage(event["bytes"]) if words is None else TextMessage(words)
        writer.write(connection.send(message))
        await writer.drain()


async def _outward(connection: Any, reader: Any, send: Any, writer: Any) -> None:
    import asyncio

    from wsproto.events import BytesMessage, CloseConnection, Ping, TextMessage

    whole: list[Any] = []
    sending: Any = None  # the last message: while a slow client takes it, a ping behind it is answered
    try:
        while True:
            event = await _next(connection, reader)
            if isinstance(event, (TextMessage, BytesMessage)):
                whole.append(event.data)
                if event.message_finished:
                    message = type(event.data)().join(whole)
                    whole.clear()
                    if sending is not None:
                        await sending
                    kind = "text" if isinstance(message, str) else "bytes"
                    sending = asyncio.ensure_future(send({"type": "websocket.send", kind: message}))
            elif isinstance(event, Ping):
                writer.write(connection.send(event.response()))
            elif isinstance(event, CloseConnection):
                if sending is not None:
                    await sending
                await send({"type": "websocket.close", "code": event.code, "reason": event.reason})
                return
    finally:
        if sending is not None:
            sending.cancel()
