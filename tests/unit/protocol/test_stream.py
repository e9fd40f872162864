"""Two peers over a real socket."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from ionian.protocol.batch import Batch
from ionian.protocol.calls import Confirm, FindFunction, FoundFunction
from ionian.protocol.ids import new_id
from ionian.protocol.stream import FRAME_TARGET, ConnectionLost, Peer, Refused, dial, listen
from ionian.protocol.wire import RUN


class Answering(Peer):
    """A server's end: answers questions, keeps what it hears."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []
        self.frames = 0
        self.gone = asyncio.Event()

    def received(self, message: Any, request: int, payload: bytes) -> None:
        self.heard.append((message, payload))
        if not isinstance(message, FindFunction):
            return
        if message.tag == "none":
            self.refuse(request, "NotFoundError", "there is no such function")
        elif message.tag == "end":
            self.disconnect()
        else:
            self.reply(request, FoundFunction(f"fu-{message.tag}", "ap-1"), payload[::-1])

    def batch(self, kind: int, header: memoryview, payload: memoryview) -> None:
        self.heard.append((kind, list(Batch.unpack(header, payload).index), len(payload)))

    def frame_done(self) -> None:
        self.frames += 1

    def closed(self) -> None:
        self.gone.set()


def talk(scene: Callable[[Peer, Answering], Awaitable[None]]) -> None:
    """Plays a scene with a client's end and a server's end."""

    async def play() -> None:
        accepted: list[Answering] = []

        def accept(_: Any) -> Peer:
            accepted.append(Answering())
            return accepted[-1]

        server, url = await listen(accept, "127.0.0.1", 0)
        async with server:
            client = await dial(url, Peer)
            try:
                await scene(client, accepted[0])
            finally:
                client.disconnect()
                await accepted[0].gone.wait()

    asyncio.run(asyncio.wait_for(play(), 10))


def test_a_question_gets_its_own_answer():
    async def scene(client: Peer, server: Answering) -> None:
        answers = await asyncio.gather(
            *[client.request(FindFunction("", str(number)), b"ab") for number in range(50)]
        )
        assert [answer[0].function_id for answer in answers] == [f"fu-{number}" for number in range(50)]
        assert {answer[1] for answer in answers} == {b"ba"}

    talk(scene)


def test_a_refusal_is_raised_with_its_type():
    async def scene(client: Peer, server: Answering) -> None:
        with pytest.raises(Refused, match="no such function") as refused:
            await client.request(FindFunction("", "none"))
        assert refused.value.type == "NotFoundError"

    talk(scene)


def test_a_question_without_an_answer_ends_with_the_stream():
    async def scene(client: Peer, server: Answering) -> None:
        with pytest.raises(ConnectionLost):
            await client.request(FindFunction("", "end"))
        assert not client.connected
        with pytest.raises(ConnectionLost):
            await client.request(FindFunction("", "1"))

    talk(scene)


def test_everything_of_one_turn_leaves_in_one_frame_and_in_order():
    async def scene(client: Peer, server: Answering) -> None:
        for number in range(100):
            client.send(Confirm(number))
        await client.request(FindFunction("", "1"))
        assert [message.seq for message, _ in server.heard[:100]] == list(range(100))
        assert server.frames == 1

    talk(scene)


def test_a_turn_of_many_bytes_leaves_in_several_frames_and_in_order():
    async def scene(client: Peer, server: Answering) -> None:
        size = FRAME_TARGET // 3
        for number in range(7):
            client.send_entry(Batch(new_id("fc"), [number], [size], bytes(size)).pack(RUN))
        assert client.backlog > 7 * size
        await client.request(FindFunction("", "1"))
        assert server.heard[:7] == [(RUN, [number], size) for number in range(7)]
        assert server.frames > 1

    talk(scene)
