"""A whole server with peers that speak its protocol: what it keeps, whom it tells apart, what it survives."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest

from ionian.machine.state import StateFolder
from ionian.protocol.apps import CreateApp, FollowApp, Log, PublishApp, StopApp
from ionian.protocol.batch import Batch
from ionian.protocol.calls import CloseCalls, FindFunction, OpenCall
from ionian.protocol.codec import encode
from ionian.protocol.ids import new_id
from ionian.protocol.images import image_id_of
from ionian.protocol.messages import Hello
from ionian.protocol.spec import FunctionSpec, ImageSpec, Resources, Scaling
from ionian.protocol.stream import Peer, Refused, dial
from ionian.protocol.wire import INPUTS, pack_entry
from ionian.protocol.workers import (
    Capacity,
    ContainerState,
    FromContainer,
    HoldLogs,
    Inventory,
    Running,
    StartContainer,
    StopContainer,
    ToContainer,
)
from ionian.server.auth import PermissionDenied, admit_token, local_token, new_token
from ionian.server.server import Server
from ionian.version import VERSION

T = TypeVar("T")


class Person(Peer):
    """A client or a worker that notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Any] = []
        self.payloads: list[bytes] = []
        self.results: list[Batch] = []
        self._news = asyncio.Event()

    def received(self, message: Any, request: int, payload: bytes) -> None:
        self.heard.append(message)
        self.payloads.append(bytes(payload))
        self._news.set()

    def batch(self, kind: int, header: memoryview, payload: memoryview) -> None:
        self.results.append(Batch.unpack(header, bytes(payload)))
        self._news.set()

    def closed(self) -> None:
        self._news.set()

    async def until(self, found: Callable[[], T | None]) -> T:
        """Waits until there is something to find."""
        while (there := found()) is None or there is False:
            self._news.clear()
            await asyncio.wait_for(self._news.wait(), 10)
        return there

    async def hears(self, kind: type[T]) -> T:
        """Waits for a message, and takes it."""

        def find() -> T | None:
            return next((message for message in self.heard if isinstance(message, kind)), None)

        message = await self.until(find)
        self.heard.remove(message)
        return message


class World:
    """A server and those who talk to it."""

    def __init__(self, server: Server, url: str) -> None:
        self.server = server
        self.url = url
        self.people: list[Person] = []

    async def person(self, role: str) -> Person:
        """A peer that has said Hello."""
        person = await dial(self.url, Person)
        self.people.append(person)
        token = local_token(self.server.state, "worker" if role == "worker" else "client")
        await person.request(Hello(role, token, VERSION, new_id("wo" if role == "worker" else "cl")))
        return person

    async def worker(self) -> Person:
        """A worker with one core."""
        worker = await self.person("worker")
        worker.send(Inventory(new_id("wo"), "w", Capacity(1000, 4096)))
        await self.server.engine.any_worker(10)
        return worker

    async def app(self, client: Person, *, cpu_milli: int = 1000) -> tuple[str, str]:
        """An app with one function; the ids of both."""
        app_id, function_id = new_id("ap"), new_id("fu")
        await client.request(CreateApp(app_id, "app"))
        resources = Resources(cpu_milli=cpu_milli)
        spec = FunctionSpec(
            function_id,
            "f",
            "m",
            "f",
            image_id=image_id_of(ImageSpec()),
            resources=resources,
            scaling=Scaling(max_containers=1),
        )
        await client.request(PublishApp(app_id, [spec]))
        return app_id, function_id


def call(client: Person, function_id: str) -> str:
    """Calls a function with one input; returns the id of the call."""
    call_id = new_id("fc")
    client.send_entry(encode(OpenCall(call_id, function_id)) + inputs(call_id, 0))
    return call_id


def inputs(call_id: str, index: int) -> bytes:
    return Batch(call_id, [index], [1], b"x").pack(INPUTS)


@asynccontextmanager
async def world(state: StateFolder) -> AsyncGenerator[World]:
    server = Server(state)
    made = World(server, await server.start("127.0.0.1", 0))
    try:
        yield made
    finally:
        for person in made.people:
            person.disconnect()
        await server.stop()


def in_world(state: StateFolder, story: Callable[[World], Awaitable[None]]) -> None:
    async def run() -> None:
        async with world(state) as made:
            await story(made)

    asyncio.run(run())


def test_containers_of_two_workers_with_the_same_number_are_told_apart(state: StateFolder) -> None:
    async def story(world: World) -> None:
        client = await world.person("client")
        functions = [(await world.app(client))[1] for _ in range(2)]
        workers = [await world.worker()]
        call(client, functions[0])
        starts = [await workers[0].hears(StartContainer)]
        workers.append(await world.worker())
        call(client, functions[1])
        starts.append(await workers[1].hears(StartContainer))
        assert starts[0].number == starts[1].number
        inner = new_id("fc")
        asked = encode(OpenCall(inner, functions[1])) + inputs(inner, 0)
        workers[0].send(FromContainer(starts[0].number), asked)
        core = world.server.engine.dispatcher.core
        while inner not in core.calls:
            await asyncio.sleep(0.01)
        assert core.calls[inner].caller.id == starts[0].container_id
        for worker, start in zip(workers, starts, strict=True):
            worker.send(ContainerState(start.number, "ended", "stopped"))
        for start in starts:
            await world.server.engine.containers.all_gone(start.app_id, 10)

    in_world(state, story)


def test_an_input_of_a_call_that_ended_with_its_app_is_answered(state: StateFolder) -> None:
    async def story(world: World) -> None:
        client = await world.person("client")
        app_id, function_id = await world.app(client)
        call_id = call(client, function_id)
        await client.request(StopApp(app_id))
        await client.until(lambda: len(client.results) == 1)
        client.send_entry(inputs(call_id, 1))
        await client.until(lambda: len(client.results) == 2)
        assert b"its app was stopped" in bytes(client.results[1].payload)

    in_world(state, story)


def test_an_app_whose_client_goes_while_it_is_stopped_is_stopped_all_the_same(state: StateFolder) -> None:
    async def story(world: World) -> None:
        client, worker = await world.person("client"), await world.worker()
        app_id, function_id = await world.app(client)
        call(client, function_id)
        start = await worker.hears(StartContainer)
        client.request(StopApp(app_id)).add_done_callback(lambda answer: answer.exception())
        await worker.hears(StopContainer)
        client.disconnect()
        await client.until(lambda: not client.connected)
        worker.send(ContainerState(start.number, "ended", "stopped"))
        while world.server.busy:
            await asyncio.sleep(0.01)
        app = world.server.store.apps.find(app_id)
        assert app is not None
        assert app.state == "stopped"

    in_world(state, story)


def test_a_container_whose_end_was_lost_on_the_way_is_forgotten(state: StateFolder) -> None:
    async def story(world: World) -> None:
        client, worker = await world.person("client"), await world.worker()
        _, function_id = await world.app(client)
        call(client, function_id)
        start = await worker.hears(StartContainer)
        engine = world.server.engine
        key = next(iter(engine.workers)), start.number
        engine.dispatcher.worker_gone(0.0, key[0], dead=True)
        engine.containers.sweep()
        assert await asyncio.wait_for(_gone(world, start), 10)

    async def _gone(world: World, start: StartContainer) -> bool:
        engine = world.server.engine
        engine.containers.sweep()
        await engine.containers.all_gone(start.app_id, 5)
        return True

    in_world(state, story)


def test_nonsense_from_a_container_does_not_cut_its_worker_off(state: StateFolder) -> None:
    async def story(world: World) -> None:
        client, worker = await world.person("client"), await world.worker()
        _, function_id = await world.app(client)
        call(client, function_id)
        start = await worker.hears(StartContainer)
        for kind in range(8):
            worker.send(FromContainer(start.number), pack_entry(kind, b"zzzz"))
            worker.send(FromContainer(start.number), b"zzzz")
        worker.send(ContainerState(start.number, "ended", "stopped"))
        await worker.hears(StartContainer)  # the input runs elsewhere: all before it was read
        assert worker.connected

    in_world(state, story)


def test_a_container_with_restricted_access_that_a_worker_brings_along_stays_restricted(
    state: StateFolder,
) -> None:
    async def story(world: World) -> None:
        app_id, function_id = await world.app(await world.person("client"))
        worker = await world.person("worker")
        was_restricted = Running(1, new_id("ta"), function_id, app_id, True, restricted=True)
        was_not = Running(2, new_id("ta"), function_id, app_id, True)
        worker.send(Inventory(new_id("wo"), "w", Capacity(2000, 4096), [was_restricted, was_not]))
        for running in (was_restricted, was_not):
            worker.send(FromContainer(running.number), encode(FindFunction("", "f"), 7))
            answer = await worker.hears(ToContainer)
            assert answer.number == running.number
        said = [payload for payload in worker.payloads if payload]
        assert [b"restrict_modal_access" in payload for payload in said] == [True, False]

    in_world(state, story)


def test_a_stream_has_one_hello(state: StateFolder) -> None:
    async def story(world: World) -> None:
        client = await world.person("client")
        token = local_token(world.server.state, "client")
        with pytest.raises(Refused, match="one Hello"):
            await client.request(Hello("client", token, VERSION, new_id("cl")))

    in_world(state, story)


def test_the_end_of_calls_is_answered_where_it_is_asked(state: StateFolder) -> None:
    async def story(world: World) -> None:
        client = await world.person("client")
        _, function_id = await world.app(client)
        call_id = call(client, function_id)
        await client.request(CloseCalls([call_id]))
        assert not world.server.engine.dispatcher.is_open(call_id)

    in_world(state, story)


def test_a_follower_that_does_not_read_makes_the_writers_wait(state: StateFolder) -> None:
    async def story(world: World) -> None:
        client, worker = await world.person("client"), await world.worker()
        app_id, _ = await world.app(client)
        client.send(FollowApp(app_id))
        await client.request(CloseCalls([]))
        session = world.server.engine.clients[next(iter(world.server.engine.clients))]
        session.pause_writing()  # as the transport does when the socket takes no more
        for _ in range(10):
            worker.send(Log(app_id, "f", "ta-1", 1), b"x" * (1 << 20))
        assert (await worker.hears(HoldLogs)).hold
        session.resume_writing()
        assert not (await worker.hears(HoldLogs)).hold
        assert sum(isinstance(message, Log) for message in client.heard) == 10

    in_world(state, story)


def test_a_client_of_another_environment_can_neither_call_nor_follow(state: StateFolder) -> None:
    async def story(world: World) -> None:
        app_id, function_id = await world.app(await world.person("client"))
        token = new_token()
        store = world.server.store
        await asyncio.to_thread(store.environments.create, "other")
        await asyncio.to_thread(admit_token, store, token, kind="client", environment="other")
        stranger = await dial(world.url, Person)
        world.people.append(stranger)
        await stranger.request(Hello("client", token, VERSION, new_id("cl")))
        call(stranger, function_id)
        await stranger.until(lambda: stranger.results or None)
        assert b"NotFoundError" in bytes(stranger.results[0].payload)
        with pytest.raises(Refused, match="belongs to 'other'"):
            await stranger.request(FollowApp(app_id))

    in_world(state, story)


def test_a_guarded_endpoint_is_for_tokens_of_its_environment_and_of_all(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.app(await world.person("client"))
        store, tokens = world.server.store, {name: new_token() for name in ("", "main", "other")}
        await asyncio.to_thread(store.environments.create, "other")
        for environment, token in tokens.items():
            await asyncio.to_thread(admit_token, store, token, kind="client", environment=environment)

        async def ask(environment: str) -> None:
            check = world.server.web.check_token
            await asyncio.to_thread(check, tokens[environment], "192.0.2.1", function_id)

        await ask("")
        await ask("main")
        with pytest.raises(PermissionDenied, match="concerns environment 'main'"):
            await ask("other")

    in_world(state, story)
