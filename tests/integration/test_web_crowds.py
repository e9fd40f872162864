"""Many who ask a web endpoint at once, in real containers: a queue with its bound, and connections that stay open
(programs/crowds.py)."""

from __future__ import annotations

import asyncio
import re
import resource
from collections.abc import AsyncGenerator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from tests.homes import Home, new_home
from tests.integration.processes import server_of
from tests.integration.test_metrics import get
from websockets.asyncio.client import connect

PROGRAM = Path(__file__).with_name("programs") / "crowds.py"
CREATED = re.compile(r"✓ Created web function (\S+) => (\S+) ·")

ASKED = 10_000
WAITING = 1000  # so many of a function's requests wait for a container, as docs/web.md says

HELD = 100

pytestmark = [pytest.mark.container, pytest.mark.timeout(280)]


@pytest.fixture(scope="module", autouse=True)
def many_files() -> Iterator[None]:
    """A connection is a descriptor, here too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@dataclass
class Site:
    """The endpoints of the program, by their functions' names."""

    home: Home
    urls: dict[str, str]

    @asynccontextmanager
    async def asking(
        self, tag: str, path: str = "", method: str = "GET", body: str = ""
    ) -> AsyncGenerator[Asked]:
        """A connection on which a request was sent."""
        parts = urlsplit(self.urls[tag])
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
        try:
            asked = Asked(reader, writer, parts.path)
            asked.send(path, method, body)
            yield asked
        finally:
            writer.close()

    def open_gate(self) -> None:
        """Lets one request at the gate through."""
        opened = self.home.python("-c", "import ionian; ionian.Queue.from_name('gate').put(1)")
        assert opened.returncode == 0, opened.stdout

    def logs(self) -> list[str]:
        """What the app's containers wrote."""
        return self.home.ionian("app", "logs", "crowds", "--tail", str(ASKED)).stdout.splitlines()

    def wait_for_log(self, line: str) -> list[str]:
        """Waits until a container has written a line; gives all lines."""
        while line not in (lines := self.logs()):
            pass
        return lines

    async def ask(self, tag: str, path: str = "", method: str = "GET", body: str = "") -> tuple[int, str]:
        """A request, and its answer: status and body."""
        async with self.asking(tag, path, method, body) as asked:
            status, _ = await asked.head()
            return status, await asked.body()


class Asked:
    """A connection to an endpoint."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, root: str) -> None:
        self.reader = reader
        self._writer = writer
        self._root = root

    def send(self, path: str, method: str = "GET", body: str = "") -> None:
        """A request is sent."""
        head = f"{method} {self._root}{path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n\r\n"
        self._writer.write((head + body).encode())

    async def head(self) -> tuple[int, dict[str, str]]:
        """Status and headers of the answer."""
        first, *lines = (await self.reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        self._headers = dict(line.lower().split(": ", 1) for line in lines if line)
        return int(first.split(" ")[1]), self._headers

    async def part(self) -> str:
        """A chunk of the answer."""
        size = int(await self.reader.readuntil(b"\r\n"), 16)
        return (await self.reader.readexactly(size + 2))[:-2].decode()

    async def body(self) -> str:
        """The answer's whole body."""
        if "content-length" in self._headers:
            return (await self.reader.readexactly(int(self._headers["content-length"]))).decode()
        parts: list[str] = []
        while part := await self.part():
            parts.append(part)
        return "".join(parts)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    with new_home() as home:
        done = home.ionian("deploy", PROGRAM, timeout_s=250)
        assert done.returncode == 0, done.stdout
        yield Site(home, dict(CREATED.findall(done.stdout)))


def value_of(home: Home, metric: str, function: str) -> int:
    """What /metrics says of a function."""
    _, text = get(home, "/metrics", (home.folder / "run" / "client.token").read_text().strip())
    found = re.search(rf'^{metric}{{.*function="{function}"}} (\d+)', text, re.MULTILINE)
    assert found is not None, text
    return int(found[1])


def memory_of(home: Home) -> int:
    """Bytes that the home's server has in memory."""
    status = Path(f"/proc/{server_of(home)}/status").read_text()
    found = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert found is not None, status
    return int(found[1]) << 10


def test_of_10_000_requests_as_many_wait_as_may_the_others_come_again_and_none_is_lost(site: Site) -> None:
    assert asyncio.run(site.ask("queued")) == (200, "")  # the server has all that it needs to answer one
    before = memory_of(site.home)
    asyncio.run(ask_many(site))
    grown = memory_of(site.home) - before
    assert grown < 200 << 20, f"{grown >> 20} MiB"


async def ask_many(site: Site) -> None:
    numbers = iter(range(ASKED))
    answers: list[str] = []
    refused: list[int] = []
    full = asyncio.Event()

    async def visitor() -> None:
        """Asks once more whenever it was told to come again."""
        async with site.asking("queued", f"?{(mine := next(numbers))}") as asked:
            while True:
                status, headers = await asked.head()
                body = await asked.body()
                if status == 200:
                    assert body == str(mine)
                    answers.append(body)
                    return
                assert (status, headers["retry-after"]) == (503, "1"), body
                refused.append(mine)
                if len(refused) == ASKED - WAITING:
                    full.set()
                if (mine := next(numbers, -1)) < 0:
                    return
                asked.send(f"?{mine}")

    async with site.asking("queued", "gate") as first:
        await asyncio.to_thread(site.wait_for_log, "at the gate")
        visitors = asyncio.gather(*(visitor() for _ in range(WAITING + 50)))
        waiting = asyncio.ensure_future(full.wait())
        await asyncio.wait((visitors, waiting), return_when=asyncio.FIRST_COMPLETED)
        waiting.cancel()
        assert not visitors.done(), visitors
        assert await site.ask("held", method="POST", body="others are answered") == (200, "0")
        counted = [
            value_of(site.home, f"ionian_inputs_{state}", "queued") for state in ("waiting", "running")
        ]
        assert sum(counted) == WAITING + 1
        await asyncio.to_thread(site.open_gate)
        assert (await first.head())[0] == 200
        await visitors
    assert len(answers) == WAITING
    assert sorted([*map(int, answers), *refused]) == list(range(ASKED))
    lines = await asyncio.to_thread(site.wait_for_log, f"asked {answers[-1]}")
    asked = [line.removeprefix("asked ") for line in lines if line.startswith("asked ") and line != "asked "]
    assert sorted(asked) == sorted(answers)


def test_streams_and_sockets_are_held_and_each_is_sent_everything(site: Site) -> None:
    asyncio.run(hold_many(site))


async def hold_many(site: Site) -> None:
    address = site.urls["held"].replace("http:", "ws:")
    async with AsyncExitStack() as opened, asyncio.timeout(240):
        sockets = [await opened.enter_async_context(connect(address)) for _ in range(HELD)]
        streams = [await opened.enter_async_context(site.asking("held")) for _ in range(HELD)]
        for stream in streams:
            assert (await stream.head())[0] == 200
            assert await stream.part() == "data: hello\n\n"
        for number, socket in enumerate(sockets):
            await socket.send(f"my number is {number}")
        for number, socket in enumerate(sockets):
            assert await socket.recv() == f"MY NUMBER IS {number}"
        assert await site.ask("held", method="POST", body="news") == (200, str(2 * HELD))
        assert {await socket.recv() for socket in sockets} == {"news"}
        assert {await stream.part() for stream in streams} == {"data: news\n\n"}
        assert await site.ask("held", method="POST", body="the end") == (200, str(2 * HELD))
        assert {await stream.part() for stream in streams} == {""}  # the last chunk
        assert {await socket.recv() for socket in sockets} == {"the end"}
