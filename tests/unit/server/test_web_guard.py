"""What clients may cost before they have asked for anything, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.unit.server.listening import free_socket, run_with, served
from websockets.asyncio.client import connect

from ionian.protocol.web import INLINE_BODY
from ionian.server.attempts import MOST, WINDOW_S, Attempts
from ionian.server.web import guard, ingress
from ionian.server.web.guard import HEADERS, Guarded

pytestmark = pytest.mark.timeout(60)

GOOD = b"GET /good HTTP/1.1\r\nHost: a\r\n\r\n"
OK = b"HTTP/1.1 200 OK"


class Site:
    """A server with an app that answers 200 and remembers what it saw."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.seen: list[str] = []
        self.answer = asyncio.Event()
        self.answer.set()

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        self.seen.append(scope["path"])
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (event := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": event["text"]})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"1", "more_body": True})
        await self.answer.wait()
        while (await receive()).get("more_body"):
            pass
        await send({"type": "http.response.body", "body": b"2"})

    async def connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        return await asyncio.open_connection("127.0.0.1", self.port)

    async def say(self, *pieces: bytes) -> bytes:
        """Sends it, and reads until the server ends the connection."""
        reader, writer = await self.connect()
        try:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
            return await reader.read()
        except ConnectionError:
            return b""
        finally:
            writer.close()


@asynccontextmanager
async def listening() -> AsyncGenerator[Site]:
    sock, port = free_socket()
    site = Site(port)
    async with served(site.app, sock):
        try:
            yield site
        finally:
            site.answer.set()


def run(story: Callable[[Site], Awaitable[None]]) -> None:
    run_with(listening, story)


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guarded, "HEADERS_S", 0.2)


@pytest.mark.usefixtures("hurried")
def test_headers_that_do_not_end_are_a_408() -> None:
    async def story(site: Site) -> None:
        said = await site.say(b"GET / HTTP/1.1\r\nHost: a\r\n", b"X-Slow: y")
        assert said.startswith(b"HTTP/1.1 408 ")
        assert site.seen == []

    run(story)


@pytest.mark.usefixtures("hurried")
@pytest.mark.parametrize("before", [b"", GOOD], ids=["first", "behind a request"])
@pytest.mark.parametrize("begun", [b"", b"\r\n", b"G"], ids=["nothing", "empty lines", "a letter"])
def test_who_does_not_ask_is_not_waited_for(before: bytes, begun: bytes) -> None:
    async def story(site: Site) -> None:
        reader, writer = await site.connect()
        if before:
            writer.write(before)
            await reader.readuntil(b"0\r\n\r\n")
        if begun or not before:  # else it is a connection that is kept for the next request
            writer.write(begun)
            assert b"200" not in await reader.read()
        writer.close()

    run(story)


def test_a_websocket_stays_open_while_nobody_says_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guarded, "HEADERS_S", 2.0)

    async def story(site: Site) -> None:
        async with connect(f"ws://127.0.0.1:{site.port}/") as opened:
            assert await site.say() == b""  # a connection that was opened later, and asks nothing, is ended
            await opened.send("still there")
            assert await opened.recv() == "still there"

    run(story)


@pytest.mark.parametrize("pieces", [1, 50])
def test_headers_past_the_limit_are_a_431(pieces: int) -> None:
    async def story(site: Site) -> None:
        header = b"X-Large: " + b"x" * (2 * HEADERS // pieces)
        said = await site.say(b"GET / HTTP/1.1\r\nHost: a\r\n", *[header + b"\r\n"] * pieces, b"\r\n")
        assert (
            said.startswith(b"HTTP/1.1 431 ") or said == b""
        )  # unread input has the kernel drop what was said
        assert site.seen == []

    run(story)


def test_headers_below_the_limit_pass() -> None:
    async def story(site: Site) -> None:
        header = b"X-Large: " + b"x" * (HEADERS - 200) + b"\r\nConnection: close\r\n"
        assert (await site.say(GOOD[:-2] + header + b"\r\n")).startswith(OK)

    run(story)


def test_one_connection_too_many_is_told_to_come_again(monkeypatch: pytest.MonkeyPatch) -> None:
    async def story(site: Site) -> None:
        monkeypatch.setattr(guard, "room", lambda: 1)
        _, first = await site.connect()
        first.write(b"GET")
        said = await site.say(b"")
        assert said.startswith(b"HTTP/1.1 503 ")
        assert b"retry-after: 1\r\n" in said
        first.close()

    run(story)


BODY = b"POST /first HTTP/1.1\r\nHost: a\r\n"
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"

NOT_HTTP = {
    "a length and an encoding": BODY
    + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "an encoding and a length": BODY
    + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n"
    + HIDDEN,
    "two lengths": BODY + b"Content-Length: 0\r\nContent-Length: 32\r\n\r\n" + HIDDEN,
    "a list of lengths": BODY + b"Content-Length: 0, 32\r\n\r\n" + HIDDEN,
    "a negative length": BODY + b"Content-Length: -1\r\n\r\n" + HIDDEN,
    "a length with a sign": BODY + b"Content-Length: +0\r\n\r\n" + HIDDEN,
    "a length in hex": BODY + b"Content-Length: 0x0\r\n\r\n" + HIDDEN,
    "a length past all numbers": BODY + b"Content-Length: 99999999999999999999999\r\n\r\n" + HIDDEN,
    "an unknown encoding": BODY + b"Transfer-Encoding: xchunked\r\n\r\n" + HIDDEN,
    "chunked before another": BODY + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n" + HIDDEN,
    "a space before the colon": BODY + b"Content-Length : 4\r\n\r\n" + HIDDEN,
    "a folded header": BODY + b"X-A: b\r\n Content-Length: 3\r\n\r\n" + HIDDEN,
    "a bare line feed in a header": BODY + b"X-A: b\nContent-Length: 0\r\n\r\n" + HIDDEN,
    "a NUL in a header": BODY + b"X-A: \0\r\n\r\n" + HIDDEN,
    "a carriage return in a header": BODY + b"X-A: b\rX-B: c\r\n\r\n" + HIDDEN,
    "another protocol": b"GET /first HTTPS/1.1\r\n\r\n" + HIDDEN,
    "HTTP/2's preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a path without a slash": b"GET first HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "a tunnel": b"CONNECT first:443 HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
    "bytes of TLS": bytes.fromhex("16030100c8010000c40303") + b"\0" * 64,
    "letters past ASCII in a path": b"GET /\xff HTTP/1.1\r\nHost: a\r\n\r\n" + HIDDEN,
}


@pytest.mark.parametrize("name", NOT_HTTP)
def test_what_is_no_http_is_refused_and_hides_no_request(name: str) -> None:
    async def story(site: Site) -> None:
        said = await site.say(NOT_HTTP[name])
        assert said.startswith(b"HTTP/1.1 400 "), said
        assert b"connection: close\r\n" in said
        assert site.seen == []

    run(story)


@pytest.mark.parametrize(
    "chunks",
    [b"xyz\r\n", b"-1\r\n", b"5\r\nabc\r\n0\r\n\r\n", b"3\r\nabcd\r\n0\r\n\r\n", b"ffffffffffffffffff\r\n"],
)
def test_a_body_whose_chunks_are_none_ends_its_connection(chunks: bytes) -> None:
    async def story(site: Site) -> None:
        await site.say(BODY + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + HIDDEN)
        assert "/hidden" not in site.seen

    run(story)


def test_rubbish_behind_a_request_is_not_taken_for_its_answer() -> None:
    async def story(site: Site) -> None:
        site.answer.clear()
        reader, writer = await site.connect()
        writer.write(GOOD)
        said = await reader.readuntil(b"1\r\n1\r\n")
        assert said.startswith(OK)
        writer.write(b"rubbish\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            raise_if_empty(await reader.read())
        writer.close()

    run(story)


def raise_if_empty(said: bytes) -> None:
    assert said == b""
    raise ConnectionResetError


PIECES = (
    "GET |POST |/| HTTP/1.1|\r\n|\n|\r|Host: a|Content-Length: |5|0|: |Transfer-Encoding: chunked|Connection: upgrade|"
    "Upgrade: websocket|\0|%00|%2e%2e/| |Expect: 100-continue|Sec-WebSocket-Key: x|Sec-WebSocket-Version: 13|\xff|"
)
WORDS = st.sampled_from([piece.encode("latin-1") for piece in (*PIECES.split("|"), "x" * 5000)])
REQUESTS = st.one_of(
    st.binary(max_size=200),
    st.lists(WORDS, max_size=30).map(b"".join),
    st.lists(WORDS, max_size=20).map(lambda w: GOOD + b"".join(w)),
)


@pytest.mark.usefixtures("hurried")
def test_whatever_is_sent_the_next_client_is_answered() -> None:
    """Each example has an end in time, and what the server says is HTTP."""
    tried: list[bytes] = []

    @settings(
        max_examples=300,
        deadline=None,
        database=None,
        derandomize=True,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(REQUESTS)
    def collect(data: bytes) -> None:
        tried.append(data)

    collect()

    async def story(site: Site) -> None:
        async def one(data: bytes) -> None:
            reader, writer = await site.connect()
            try:
                writer.write(data)
                writer.write_eof()
                async with asyncio.timeout(30):
                    said = await reader.read()
            except ConnectionError:
                return
            finally:
                writer.close()
            assert said == b"" or said.startswith(b"HTTP/1.1 "), (data, said)

        for at in range(0, len(tried), 50):
            await asyncio.gather(*(one(data) for data in tried[at : at + 50]))
        assert (await site.say(GOOD[:-2] + b"Connection: close\r\n\r\n")).startswith(OK)

    run(story)


# --- bodies


def parts(*bodies: bytes, then: dict[str, Any] | None = None) -> Callable[[], Awaitable[Any]]:
    """What a request's receive() gives; then it waits, or gives `then`."""
    events = [{"type": "http.request", "body": body, "more_body": True} for body in bodies]

    async def receive() -> Any:
        if events:
            return events.pop(0)
        if then is None:
            await asyncio.Event().wait()
        return then

    return receive


def test_the_beginning_of_a_body_that_stays_away_is_not_waited_for() -> None:
    with pytest.raises(TimeoutError):
        asyncio.run(ingress.beginning(parts(b"x", b"y"), patience_s=0.1, pace=1000))


def test_a_body_that_comes_at_its_pace_is_waited_for() -> None:
    async def story() -> tuple[bytes | None, bool]:
        return await ingress.beginning(parts(b"x" * INLINE_BODY), patience_s=0.1, pace=1000)

    assert asyncio.run(story()) == (b"x" * INLINE_BODY, True)


def test_a_client_that_goes_amid_its_body_is_seen() -> None:
    gone = parts(b"x", then={"type": "http.disconnect"})
    assert asyncio.run(ingress.beginning(gone)) == (None, False)


@pytest.mark.parametrize(
    ("headers", "wanted"),
    [
        ([(b"host", b"a")], (0, "a", None)),
        ([(b"host", b"a"), (b"content-length", b"12")], (12, "a", None)),
        ([(b"transfer-encoding", b"chunked")], (ingress.UNTOLD, "", None)),
    ],
)
def test_a_request_says_its_host_and_how_long_its_body_is(headers: Any, wanted: Any) -> None:
    assert ingress.looked_at(headers) == wanted


def test_a_request_with_two_hosts_or_too_large_a_body_is_refused() -> None:
    assert ingress.looked_at([(b"host", b"a"), (b"host", b"b")])[2] == (
        400,
        "expected one Host header, got several",
    )
    assert ingress.looked_at([(b"content-length", str(ingress.MOST_BODY + 1).encode())])[2] == (
        413,
        "a body may have 4 GiB",
    )


# --- tokens


def test_after_many_wrong_tokens_an_address_waits_but_not_for_a_token_that_was_right() -> None:
    now = [100.0]
    attempts = Attempts(lambda: now[0])
    attempts.right("ti-good.x")
    for _ in range(MOST):
        assert attempts.wait_s("1.2.3.4", "ti-bad.x") == 0
        attempts.wrong("1.2.3.4")
    assert attempts.wait_s("1.2.3.4", "ti-bad.x") > 0
    assert attempts.wait_s("1.2.3.4", "ti-good.x") == 0
    assert attempts.wait_s("1.2.3.5", "ti-bad.x") == 0
    now[0] += WINDOW_S
    assert attempts.wait_s("1.2.3.4", "ti-bad.x") == 0
    attempts.wrong("1.2.3.4")
    assert attempts.wait_s("1.2.3.4", "ti-bad.x") == 0
