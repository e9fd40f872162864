"""Answers as a client sees them, over real sockets: what a container says is played from here."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from itertools import count
from typing import Any

import pytest
from tests.unit.server.listening import free_socket, run_with, served

from ionian.protocol.batch import DONE, YIELD, Batch
from ionian.protocol.web import pack_event
from ionian.server.web.answer import Answer
from ionian.server.web.exchange import Exchange

pytestmark = pytest.mark.timeout(60)

CALL = "fc-01ARZ3NDEKTSV4RRFFQ69G5FAV"
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n"
LAST = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"


class Site:
    """A listener whose requests are answered by the test."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.asked: asyncio.Queue[Exchange] = asyncio.Queue()
        self.over: asyncio.Queue[Exchange] = asyncio.Queue()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError("expected each request to be answered at once")

    def at_once(self, connection: Any, cycle: Any) -> bool:
        """Takes every request."""
        exchange = Exchange(CALL, "fu-1")
        Answer(exchange, connection, cycle, "page", self.over.put_nowait)
        self.asked.put_nowait(exchange)
        return True

    async def ask(self, request: bytes) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(request)
        return reader, writer

    async def answered(self, request: bytes, *events: bytes) -> bytes:
        """What a client reads until its connection ends, where a container says this and ends."""
        reader, writer = await self.ask(request)
        exchange = await self.asked.get()
        say(exchange, *events)
        end(exchange)
        try:
            return await reader.read()
        finally:
            writer.close()


def start(status: Any = 200, *headers: Any, body: bytes = b"", more: bool = False) -> bytes:
    return pack_event({"t": "start", "s": status, "h": list(headers), "m": more}, body)


def part(body: bytes, more: bool = False) -> bytes:
    return pack_event({"t": "body", "m": more}, body)


_numbers = count()
"""Of events, in their order."""


def say(exchange: Exchange, *events: bytes) -> None:
    for event in events:
        number = next(_numbers)
        exchange.received(Batch(CALL, [0], [len(event)], event, code=[YIELD], attempt=[0], micros=[number]))


def end(exchange: Exchange) -> None:
    exchange.received(Batch(CALL, [0], [0], b"", code=[DONE], attempt=[0], micros=[0]))


@asynccontextmanager
async def listening() -> AsyncGenerator[Site]:
    sock, port = free_socket()
    site = Site(port)
    async with served(site, sock):
        yield site


def run(story: Callable[[Site], Awaitable[None]]) -> None:
    run_with(listening, story)


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        ([start(200, ["Content-Length", "2"], body=b"ok")], b"content-length: 2\r\n\r\nok"),
        ([start(body=b"ok")], b"transfer-encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"),
        (
            [start(more=True), part(b"a", more=True), part(b"bc")],
            b"transfer-encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n",
        ),
        ([start(204)], b"\r\n\r\n"),
    ],
    ids=["with its length", "without a length", "in parts", "without a body"],
)
def test_an_answer_is_framed_as_its_headers_say(events: list[bytes], expected: bytes) -> None:
    async def story(site: Site) -> None:
        said = await site.answered(LAST, *events)
        head, _, body = said.partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 2")
        assert b"\r\nconnection: close" in head
        assert (head + b"\r\n\r\n" + body).replace(b"connection: close\r\n", b"").endswith(expected)

    run(story)


def test_an_answer_to_head_has_no_body() -> None:
    async def story(site: Site) -> None:
        reader, writer = await site.ask(HEAD + LAST)
        first = await site.asked.get()
        say(first, start(200, ["content-length", "2"], body=b"ok"))
        end(first)
        assert b"content-length: 2\r\n" in await reader.readuntil(b"\r\n\r\n")
        say(await site.asked.get(), start(404))
        assert (await reader.readline()).startswith(b"HTTP/1.1 404 ")
        writer.close()

    run(story)


@pytest.mark.parametrize(
    "event",
    [
        start(200, ["x-a", "b\r\nset-cookie: mine"]),
        start(200, ["x-a: b\r\nset-cookie", "mine"]),
        start(200, ["", "no name"]),
        start(200, ["x-a", 5]),
        start(200, ["x-a"]),
        start(200, ["x-a", "\u1234"]),
        start(200, ["content-length", "+2"]),
        start(99),
        start("200"),
        start([]),
        pack_event({"t": "start"}),
        part(b"no start"),
        pack_event({"t": "accept", "h": []}),
    ],
)
def test_what_is_no_answer_is_a_500_and_adds_no_header(event: bytes) -> None:
    async def story(site: Site) -> None:
        said = await site.answered(LAST, event)
        assert said.startswith(b"HTTP/1.1 500 ")
        assert b"set-cookie" not in said
        assert (await site.over.get()).call_id == CALL

    run(story)


@pytest.mark.parametrize(
    "events",
    [
        [start(200, ["content-length", "2"], body=b"o")],
        [start(200, ["content-length", "2"], body=b"okay")],
        [start(more=True), part(b"half", more=True)],
        [start(more=True), start()],
    ],
    ids=["shorter than its length", "longer than its length", "without an end", "begun twice"],
)
def test_an_answer_that_is_not_whole_ends_the_connection(events: list[bytes]) -> None:
    async def story(site: Site) -> None:
        said = await site.answered(GET, *events)  # read to its end, although the client would have kept it
        assert said.startswith(b"HTTP/1.1 200 ")
        assert not said.endswith(b"0\r\n\r\n")
        assert b"okay" not in said

    run(story)


def test_requests_that_come_at_once_are_answered_one_behind_the_other() -> None:
    async def story(site: Site) -> None:
        reader, writer = await site.ask(GET + GET + LAST)
        for body in (b"1", b"2", b"3"):
            exchange = await site.asked.get()
            assert site.asked.empty()
            say(exchange, start(200, ["content-length", "1"], body=body))
            end(exchange)
        bodies = [answer[-1:] for answer in (await reader.read()).split(b"HTTP/1.1 200 OK")[1:]]
        assert bodies == [b"1", b"2", b"3"]
        writer.close()

    run(story)


def test_a_client_that_goes_ends_its_request() -> None:
    async def story(site: Site) -> None:
        _, writer = await site.ask(GET)
        exchange = await site.asked.get()
        say(exchange, start(more=True, body=b"first"))
        writer.close()
        assert await site.over.get() is exchange

    run(story)


def test_what_runs_behind_a_whole_answer_goes_on_although_its_client_goes() -> None:
    async def story(site: Site) -> None:
        reader, writer = await site.ask(LAST)
        exchange = await site.asked.get()
        say(exchange, start(body=b"all"))
        await reader.read()
        writer.close()
        _, other = await site.ask(GET)  # by then the end of the first connection has been seen
        await site.asked.get()
        assert site.over.empty()
        end(exchange)
        assert await site.over.get() is exchange
        other.close()

    run(story)


def test_a_client_that_does_not_read_has_its_container_wait() -> None:
    async def story(site: Site) -> None:
        reader, writer = await site.ask(LAST)
        exchange = await site.asked.get()
        piece = b"x" * (1 << 18)
        say(exchange, start(200, ["content-length", str(120 * len(piece))], more=True))
        say(exchange, *[part(piece, more=True)] * 100)
        waiting = asyncio.ensure_future(exchange.all_taken(100 * len(piece)))
        await asyncio.sleep(0)
        assert not waiting.done()  # the sockets take some, and not all of it
        said = await reader.readexactly(95 * len(piece))
        await waiting
        say(exchange, *[part(piece, more=True)] * 19, part(piece))
        end(exchange)
        said += await reader.read()
        assert len(said.partition(b"\r\n\r\n")[2]) == 120 * len(piece)
        writer.close()

    run(story)
