"""Many WebSockets and streams of server-sent events, open for a minute: what they cost in memory, how late a message is.

python -m benchmarks.web_held [--connections 1000] [--seconds 60]      prints a table

One container answers so many WebSockets, another as many streams; each connection is sent the time once a second. And the first
request of a function that has no container is measured beside the first call of one.
"""

from __future__ import annotations

import argparse
import asyncio
import resource
import time
import urllib.request
from contextlib import AsyncExitStack
from typing import Any
from urllib.parse import urlsplit

import ionian
from benchmarks.calls import server_pid
from benchmarks.measure import percentile, resident_mb

app = ionian.App("benchmark-web-held")
image = ionian.Image.debian_slim(python_version="3.11")


@app.function(image=image, max_containers=1, timeout=3600, serialized=True)
@ionian.concurrent(max_inputs=1000)
@ionian.asgi_app()
def sockets() -> Any:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await send({"type": "websocket.send", "text": str(time.monotonic())})
            await asyncio.sleep(1)

    return answer


@app.function(image=image, max_containers=1, timeout=3600, serialized=True)
@ionian.concurrent(max_inputs=1000)
@ionian.asgi_app()
def streams() -> Any:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        headers = [(b"content-type", b"text/event-stream")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        while True:
            event = f"data: {time.monotonic()}\n\n".encode()
            await send({"type": "http.response.body", "body": event, "more_body": True})
            await asyncio.sleep(1)

    return answer


@app.function(image=image, serialized=True)
@ionian.asgi_app()
def cold_page() -> Any:
    async def answer(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"cold"})

    return answer


@app.function(image=image, serialized=True)
def cold_call() -> str:
    return "cold"


async def listen_to_socket(url: str, held: Held) -> None:
    from websockets.asyncio.client import connect

    async with connect(url.replace("http:", "ws:"), open_timeout=120) as socket:
        async for text in socket:
            held.received("sockets", float(text))


async def listen_to_stream(url: str, held: Held) -> None:
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {parts.path} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
        await reader.readuntil(b"\r\n\r\n")
        while line := await reader.readline():
            if line.startswith(b"data: "):
                held.received("streams", float(line[6:]))
    finally:
        writer.close()


class Held:
    """What the connections were sent."""

    def __init__(self) -> None:
        self.late: dict[str, list[float]] = {"sockets": [], "streams": []}
        self.counting = False

    def received(self, kind: str, sent: float) -> None:
        """A message is here."""
        if self.counting:
            self.late[kind].append((time.monotonic() - sent) * 1e3)


async def hold(urls: dict[str, str], connections: int, seconds: float) -> None:
    """Opens them all, and prints what came."""
    held, server = Held(), server_pid()
    before = resident_mb(server)
    listening = [
        asyncio.ensure_future(listen(url, held))
        for listen, url in ((listen_to_socket, urls["sockets"]), (listen_to_stream, urls["streams"]))
        for _ in range(connections)
    ]
    async with AsyncExitStack() as stack:
        stack.callback(lambda: [task.cancel() for task in listening])
        held.counting = True
        while min(map(len, held.late.values())) < connections:  # each has had about one
            await asyncio.sleep(0.1)
        for late in held.late.values():
            late.clear()
        await asyncio.sleep(seconds)
        held.counting = False
        lost = [task.exception() for task in listening if task.done()]
        after = resident_mb(server)
    print(
        f"memory of the server: {before:.0f} MiB before, {after:.0f} MiB with {2 * connections} connections"
    )
    print(f"connections lost: {len(lost)}", *{repr(each) for each in lost})
    for kind, late in held.late.items():
        p50, p99 = percentile(late, 0.5), percentile(late, 0.99)
        rate = len(late) / seconds
        print(f"{kind}: {rate:,.0f} messages a second, p50 {p50:.1f} ms, p99 {p99:.1f} ms late")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--connections", type=int, default=1000)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    with app.run():
        begun = time.monotonic()
        cold_call.remote()
        called = time.monotonic() - begun
        url = cold_page.get_web_url()
        assert url is not None
        begun = time.monotonic()
        urllib.request.urlopen(url).read()
        asked = time.monotonic() - begun
        print(f"first call {called * 1e3:.0f} ms, first request {asked * 1e3:.0f} ms")
        urls = {"sockets": sockets.get_web_url() or "", "streams": streams.get_web_url() or ""}
        asyncio.run(hold(urls, options.connections, options.seconds))


if __name__ == "__main__":
    main()
