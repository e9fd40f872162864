"""A WebSocket between a client and a server in its container: both are played here."""

from __future__ import annotations

import asyncio
from typing import Any

from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, CloseConnection, Event, Ping, Pong, Request

from ionian.container.web.tunnelled import tunnel

SCOPE: dict[str, Any] = {"path": "/", "root_path": "", "query_string": b"", "headers": [], "subprotocols": []}


class Server:
    """The user's server, and the streams to it."""

    def __init__(self) -> None:
        self.reader = asyncio.StreamReader()
        self.heard: asyncio.Queue[Event] = asyncio.Queue()
        self._connection = WSConnection(ConnectionType.SERVER)

    def say(self, event: Event) -> None:
        """Sends to the container's side."""
        self.reader.feed_data(self._connection.send(event))

    def write(self, data: bytes) -> None:
        """What the container's side sends."""
        self._connection.receive_data(data)
        for event in self._connection.events():
            self.heard.put_nowait(event)

    async def drain(self) -> None:
        """All is taken at once."""


class Client:
    """The client, as its ASGI app sees it."""

    def __init__(self) -> None:
        self.reads = asyncio.Event()
        self.got: list[dict[str, Any]] = []
        self._events = [{"type": "websocket.connect"}]

    async def receive(self) -> dict[str, Any]:
        if not self._events:
            await asyncio.Event().wait()
        return self._events.pop()

    async def send(self, event: dict[str, Any]) -> None:
        if event["type"] == "websocket.send":
            await self.reads.wait()
        self.got.append(event)


def test_a_ping_is_answered_while_a_slow_client_takes_the_message_before() -> None:
    async def story() -> None:
        server, client = Server(), Client()
        tunnelled = asyncio.ensure_future(tunnel(SCOPE, client.receive, client.send, server.reader, server))
        assert isinstance(await server.heard.get(), Request)
        server.say(AcceptConnection())
        server.say(BytesMessage(b"large"))
        server.say(Ping(b"are you there?"))
        assert isinstance(await server.heard.get(), Pong)
        assert [event["type"] for event in client.got] == ["websocket.accept"]
        server.say(BytesMessage(b"last"))
        server.say(CloseConnection(1000))
        client.reads.set()
        await tunnelled
        assert [event.get("bytes") or event["type"] for event in client.got] == [
            "websocket.accept",
            b"large",
            b"last",
            "websocket.close",
        ]

    asyncio.run(story())
