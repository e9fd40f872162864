"""A whole server with a client that spawns calls, and a worker that answers inputs as the test has it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

from ionian.machine.state import StateFolder
from ionian.protocol.apps import CreateApp, PublishApp
from ionian.protocol.batch import OK, Batch
from ionian.protocol.calls import GetOutputs, Outputs, Spawn
from ionian.protocol.ids import new_id
from ionian.protocol.images import image_id_of
from ionian.protocol.messages import Hello
from ionian.protocol.spec import FunctionSpec, ImageSpec, Resources, RetryPolicy, Scaling
from ionian.protocol.stream import Peer, dial
from ionian.protocol.wire import INPUTS, RESULTS, RUN
from ionian.protocol.workers import (
    CancelInputs,
    Capacity,
    ContainerState,
    Held,
    Inventory,
    Running,
    StartContainer,
    StopContainer,
    TakeBack,
    TakenBack,
)
from ionian.server.auth import local_token
from ionian.server.server import Server
from ionian.version import VERSION

T = TypeVar("T")
Row = tuple[str, int]  # call id, index


class Client(Peer):
    """Who spawns."""

    def received(self, message: Any, request: int, payload: bytes) -> None:
        pass

    async def spawn(
        self,
        function_id: str,
        *values: bytes,
        call_id: str = "",
        start: int = 0,
        last: bool = True,
        parent: str = "",
    ) -> str:
        """Spawns a call, or more inputs of it; its id."""
        call_id = call_id or new_id("fc")
        await self.request(Spawn(call_id, function_id, parent, last=last), inputs(call_id, start, values))
        return call_id

    async def outputs(
        self, call_id: str, start: int = 0, limit: int = 1, wait_s: float = 10.0
    ) -> tuple[Outputs, Batch | None]:
        """What GetOutputs says."""
        answer, payload = await self.request(GetOutputs(call_id, start, limit, wait_s))
        return answer, unpacked(payload)


class TestWorker(Peer):
    """A worker whose containers answer every input with itself, unless `hold`: then the test lets them go."""

    __test__ = False

    def __init__(self) -> None:
        super().__init__()
        self.worker_id = new_id("wo")
        self.containers: dict[int, StartContainer] = {}
        self.ran: list[Row] = []
        self.held: list[Batch] = []
        self.cancelled: list[Row] = []
        self.stopped: list[int] = []
        self.unconfirmed: dict[int, Batch] = {}
        self.hold = False
        self.seq = 0
        self._news = asyncio.Event()

    def received(self, message: Any, request: int, payload: bytes) -> None:
        if isinstance(message, StartContainer):
            self.containers[message.number] = message
            self.send(ContainerState(message.number, "ready"))
        elif isinstance(message, StopContainer):
            self.stopped.append(message.number)
            self.containers.pop(message.number, None)
            self.send(ContainerState(message.number, "ended", "stopped"))
        elif isinstance(message, TakeBack):
            self.send(TakenBack(message.number))  # all of it was claimed
        elif isinstance(message, CancelInputs):
            self.cancelled += [(message.call_id, index) for index in message.index]
        elif type(message).__name__ == "ConfirmResults":
            for seq in message.seqs:
                self.unconfirmed.pop(seq, None)
        self._news.set()

    def batch(self, kind: int, header: memoryview, payload: memoryview) -> None:
        assert kind == RUN
        batch = Batch.unpack(header, bytes(payload))
        self.ran += [(batch.call_id, index) for index in batch.index]
        if self.hold:
            self.held.append(batch)
        else:
            self.answer(batch)
        self._news.set()

    def answer(self, batch: Batch, code: int = OK) -> None:
        """Says that inputs have ended."""
        self.seq += 1
        result = Batch(
            batch.call_id,
            batch.index,
            batch.size,
            batch.payload,
            attempt=batch.attempt,
            code=[code] * len(batch),
            micros=[1] * len(batch),
            container=batch.container,
            seq=self.seq,
        )
        self.unconfirmed[self.seq] = result
        self.send_entry(result.pack(RESULTS))

    def let_go(self) -> None:
        """What was held ends, and what comes does so at once."""
        self.hold = False
        held, self.held = self.held, []
        for batch in held:
            self.answer(batch)

    def inventory(self) -> Inventory:
        """What it says when it joins."""
        running = [
            Running(
                number, start.container_id, start.function.function_id, start.app_id, True, self._held(number)
            )
            for number, start in self.containers.items()
        ]
        return Inventory(self.worker_id, "w", Capacity(4000, 8192), running)

    def _held(self, number: int) -> list[Held]:
        batches = [*self.held, *self.unconfirmed.values()]
        return [Held(b.call_id, list(b.index), list(b.attempt)) for b in batches if b.container == number]

    async def until(self, found: Callable[[], bool]) -> None:
        """Waits until something is so."""
        while not found():
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 10)


class World:
    """A server, a client and, when asked for, a worker."""

    def __init__(self, server: Server, url: str, client: Client) -> None:
        self.server = server
        self.url = url
        self.client = client

    async def worker(self, before: TestWorker | None = None, *, hold: bool = False) -> TestWorker:
        """A worker that joins; `before`: it was connected to an earlier server."""
        worker = await dial(self.url, TestWorker)
        worker.hold = hold
        if before is not None:
            for name in ("worker_id", "containers", "held", "unconfirmed", "ran", "seq"):
                setattr(worker, name, getattr(before, name))
        await worker.request(
            Hello("worker", local_token(self.server.state, "worker"), VERSION, worker.worker_id)
        )
        worker.send(worker.inventory())
        for batch in list(worker.unconfirmed.values()):
            worker.send_entry(batch.pack(RESULTS))
        await self.server.engine.any_worker(10)
        return worker

    async def function(
        self, *, detach: bool = True, max_containers: int = 1, retries: RetryPolicy | None = None
    ) -> tuple[str, str]:
        """An app with one function; the ids of both."""
        app_id, function_id = new_id("ap"), new_id("fu")
        await self.client.request(CreateApp(app_id, "app", detach=detach))
        spec = FunctionSpec(
            function_id,
            "f",
            "m",
            "f",
            image_id=image_id_of(ImageSpec()),
            resources=Resources(cpu_milli=1000),
            scaling=Scaling(max_containers=max_containers),
            retries=retries,
        )
        await self.client.request(PublishApp(app_id, [spec]))
        return app_id, function_id


def inputs(call_id: str, start: int, values: Sequence[bytes]) -> bytes:
    """One entry of inputs."""
    index = range(start, start + len(values))
    return Batch(call_id, list(index), [len(value) for value in values], b"".join(values)).pack(INPUTS)


def unpacked(payload: bytes) -> Batch | None:
    """The batch of an entry."""
    from ionian.protocol.wire import entries

    for _, header, body in entries(payload):
        return Batch.unpack(header, bytes(body))
    return None


@asynccontextmanager
async def world(state: StateFolder, database: str = "") -> AsyncGenerator[World]:
    """A server on this state, stopped at the end."""
    server = Server(state, database=database)
    url = await server.start("127.0.0.1", 0)
    client = await dial(url, Client)
    await client.request(Hello("client", local_token(state, "client"), VERSION, "cl-" + "0" * 26))
    try:
        yield World(server, url, client)
    finally:
        client.disconnect()
        await server.stop()


def in_world(state: StateFolder, story: Callable[[World], Awaitable[T]], database: str = "") -> T:
    """Runs a story in a world of its own."""

    async def run() -> T:
        async with world(state, database) as made:
            return await asyncio.wait_for(story(made), 60)

    return asyncio.run(run())
