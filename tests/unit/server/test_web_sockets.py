"""Which clients of WebSockets are taken for gone: the clock is played, and what is on the wire."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from uvicorn.server import ServerState
from wsproto import ConnectionType, WSConnection
from wsproto.events import AcceptConnection, BytesMessage, Request

from ionian.server.web.listener import config_of
from ionian.server.web.sockets import Socket


class Wire(asyncio.Transport):
    """What is between; nothing leaves by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.written = bytearray()
        self.unsent = 0
        self.closed = False

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return self.unsent

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass

    def is_closing(self) -> bool:
        return self.closed

    def close(self) -> None:
        self.closed = True


class Scene:
    """An open WebSocket, whose client is the test."""

    def __init__(self) -> None:
        self.wire = Wire()
        self.client = WSConnection(ConnectionType.CLIENT)
        self.takes = asyncio.Event()  # the app takes messages
        self.taken = asyncio.Event()
        self._opened = asyncio.Event()

    async def _app(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        self._opened.set()
        await self.takes.wait()
        while (await receive())["type"] == "websocket.receive":
            self.taken.set()

    async def begin(self) -> None:
        """The handshake, and a ping."""
        config = config_of(self._app)
        config.load()
        self.socket = Socket(config, ServerState(), {})
        self.socket.connection_made(self.wire)
        self.socket.data_received(self.client.send(Request("a", "/")))
        await self._opened.wait()
        self.client.receive_data(bytes(self.wire.written))
        assert [type(event) for event in self.client.events()] == [AcceptConnection]
        self.socket.send_keepalive_ping()

    async def end(self) -> None:
        """Its client goes."""
        self.takes.set()
        self.socket.connection_lost(None)
        await asyncio.gather(*self.socket.tasks)

    def late(self) -> bool:
        """The time for an answer is over; whether the client is taken for gone."""
        self.socket.keepalive_timeout()
        return self.wire.closed


def run(story: Callable[[Scene], Awaitable[None]]) -> None:
    async def with_scene() -> None:
        scene = Scene()
        await scene.begin()
        await story(scene)
        await scene.end()

    asyncio.run(with_scene())


def test_who_does_nothing_is_gone() -> None:
    async def story(scene: Scene) -> None:
        assert scene.late()

    run(story)


def test_who_sends_a_large_message_answers_behind_it() -> None:
    async def story(scene: Scene) -> None:
        message = scene.client.send(BytesMessage(bytes(1000)))
        for at in range(0, 900, 300):
            scene.socket.data_received(message[at : at + 300])
            assert not scene.late()
        assert scene.late()  # it has ended amid the message

    run(story)


def test_who_gets_a_large_message_hears_the_ping_behind_it() -> None:
    async def story(scene: Scene) -> None:
        scene.wire.unsent = 1000
        scene.socket.send_keepalive_ping()
        for unsent in (600, 200):
            scene.wire.unsent = unsent
            assert not scene.late()
        scene.socket.resume_writing()
        assert not scene.late()
        assert scene.late()  # it takes no more

    run(story)


def test_who_is_not_read_has_no_chance_to_answer() -> None:
    async def story(scene: Scene) -> None:
        scene.socket.data_received(scene.client.send(BytesMessage(b"one")))
        assert [scene.late() for _ in range(3)] == [False] * 3
        scene.takes.set()
        await scene.taken.wait()
        assert not scene.late()  # it may have answered just now
        assert scene.late()

    run(story)
