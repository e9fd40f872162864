"""Parts of a request as its container asks for them."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ionian import link
from ionian.container.web.incoming import Incoming
from ionian.protocol.web import Part, TakePart

CALL = "fc-01ARZ3NDEKTSV4RRFFQ69G5FAV"


class Server:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked: list[int] = []
        self._answers: asyncio.Queue[tuple[Part, bytes]] = asyncio.Queue()

    async def request_async(self, message: TakePart) -> tuple[Any, bytes]:
        """What a part's container asks."""
        self.asked.append(message.number)
        return await self._answers.get()

    def give(self, *payloads: bytes) -> None:
        """Parts come."""
        for payload in payloads:
            self._answers.put_nowait((Part("body", True), payload))


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Server:
    server = Server()
    monkeypatch.setattr(link, "current", lambda: server)
    return server


def test_who_gives_up_leaves_the_part_to_who_asks_next(server: Server) -> None:
    async def story() -> None:
        incoming = Incoming(CALL)
        waiting = asyncio.ensure_future(incoming.part())
        await asyncio.sleep(0)
        waiting.cancel()
        server.give(b"first", b"second")
        assert [(await incoming.part())[1] for _ in range(2)] == [b"first", b"second"]
        assert server.asked == [1, 2]

    asyncio.run(story())


def test_of_two_who_wait_at_once_both_have_each_part_and_none_is_left_out(server: Server) -> None:
    """As of a response that reads its request, beside who watches for the client's end."""

    async def story() -> None:
        incoming = Incoming(CALL)

        async def read() -> list[bytes]:
            return [(await incoming.part())[1] for _ in range(3)]

        reading = [asyncio.ensure_future(read()) for _ in range(2)]
        server.give(b"first", b"second", b"third")
        assert await asyncio.gather(*reading) == [[b"first", b"second", b"third"]] * 2
        assert server.asked == [1, 2, 3]

    asyncio.run(story())
