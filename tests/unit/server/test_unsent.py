"""Spawned calls whose callers go away before they have sent all inputs."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.server.spawning import Client, World, in_world

from ionian.machine.state import StateFolder
from ionian.protocol.batch import LOST
from ionian.protocol.ids import new_id
from ionian.protocol.messages import Hello
from ionian.protocol.stream import Refused, dial
from ionian.server.auth import local_token
from ionian.server.durable import unsent
from ionian.version import VERSION


@pytest.fixture(autouse=True)
def patience(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unsent, "GONE_S", 0.05)
    monkeypatch.setattr(unsent, "LOOK_EVERY_S", 0.02)


async def somebody(world: World, number: int = 1) -> Client:
    """Another client."""
    client = await dial(world.url, Client)
    token = local_token(world.server.state, "client")
    await client.request(Hello("client", token, VERSION, f"cl-{number:026}"))
    return client


async def until_finished(world: World, call_id: str) -> None:
    """Waits for the end of a call."""
    while True:
        row = await asyncio.to_thread(world.server.store.call_reads.find, call_id)
        if row is not None and row.finished_at is not None:
            return
        await asyncio.sleep(0.01)


def test_what_came_of_a_call_is_run_and_then_the_call_ends(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        await world.worker()
        gone = await somebody(world)
        call_id = await gone.spawn(function_id, b"0", b"1", last=False)
        gone.disconnect()
        await until_finished(world, call_id)
        answer, batch = await world.client.outputs(call_id, 0, limit=10)
        assert (answer.total, answer.complete) == (2, True)
        assert batch is not None
        assert batch.payloads() == [b"0", b"1"]
        assert not world.server.durable.windows.calls
        with pytest.raises(Refused, match="takes no more inputs"):
            await world.client.spawn(function_id, b"2", call_id=call_id, start=2)

    in_world(state, story)


def test_what_lacks_between_what_came_ends_in_a_failure_that_says_so(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        await world.worker()
        gone = await somebody(world)
        call_id = await gone.spawn(function_id, b"0", last=False)
        await gone.spawn(function_id, b"2", call_id=call_id, start=2, last=True)
        await world.client.outputs(call_id, 2)
        gone.disconnect()
        answer, batch = await world.client.outputs(call_id, 1)
        assert (answer.total, answer.done) == (3, 3)
        assert batch is not None
        assert list(batch.code) == [LOST]
        assert b"went away before it had sent all inputs" in bytes(batch.payload)
        _, batch = await world.client.outputs(call_id, 2)
        assert batch is not None
        assert batch.payloads() == [b"2"]
        assert not world.server.durable.windows.calls

    in_world(state, story)


def test_a_caller_that_comes_back_in_time_goes_on(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unsent, "GONE_S", 0.3)

    async def story(world: World) -> None:
        _, function_id = await world.function()
        await world.worker()
        caller = await somebody(world)
        call_id = await caller.spawn(function_id, b"0", last=False)
        caller.disconnect()
        again = await somebody(world)
        await asyncio.sleep(0.4)
        await again.spawn(function_id, b"1", call_id=call_id, start=1)
        _, batch = await again.outputs(call_id, 1)
        assert batch is not None
        assert batch.payloads() == [b"1"]
        again.disconnect()

    in_world(state, story)


def test_a_call_that_a_killed_server_left_without_its_caller_ends_too(state: StateFolder) -> None:
    calls = [new_id("fc"), new_id("fc")]

    async def before(world: World) -> None:
        _, function_id = await world.function()
        await world.client.spawn(function_id, b"0", call_id=calls[0], last=False)
        await world.client.spawn(function_id, b"0", call_id=calls[1], last=False)
        await world.client.spawn(function_id, b"2", call_id=calls[1], start=2)

    in_world(state, before)

    async def after(world: World) -> None:
        world.client.disconnect()  # the caller of before
        other = await somebody(world, 2)
        await world.worker()
        for call_id in calls:
            await until_finished(world, call_id)
        _, batch = await other.outputs(calls[1], 1)
        assert batch is not None
        assert list(batch.code) == [LOST]
        other.disconnect()

    in_world(state, after)
