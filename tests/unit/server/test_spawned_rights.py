"""Spawned calls of functions that go, of other environments, and with blobs."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.server.spawning import Client, World, in_world

from ionian.machine.state import StateFolder
from ionian.protocol.apps import CreateApp, Deploy, PublishApp
from ionian.protocol.batch import BLOB, LOST, Batch
from ionian.protocol.calls import (
    CancelCall,
    ExplainCall,
    GetCallGraph,
    GetCallInfo,
    GetOutputs,
    ListCalls,
    Spawn,
)
from ionian.protocol.ids import new_id
from ionian.protocol.images import image_id_of
from ionian.protocol.messages import Hello
from ionian.protocol.spec import FunctionSpec, ImageSpec, Resources, Scaling
from ionian.protocol.stream import Refused, dial
from ionian.protocol.wire import INPUTS
from ionian.server.auth import Actor, admit_token
from ionian.version import VERSION


def spec(tag: str) -> FunctionSpec:
    return FunctionSpec(
        new_id("fu"),
        tag,
        "m",
        tag,
        image_id=image_id_of(ImageSpec()),
        resources=Resources(cpu_milli=1000),
        scaling=Scaling(max_containers=1),
    )


async def deployed(world: World, *specs: FunctionSpec) -> str:
    """A deployed app with these functions."""
    app_id = new_id("ap")
    await world.client.request(CreateApp(app_id, "deployed", deploy=True))
    await world.client.request(PublishApp(app_id, list(specs), Deploy()))
    return app_id


def test_a_function_that_a_deploy_dropped_ends_what_runs_and_fails_what_waits(state: StateFolder) -> None:
    async def story(world: World) -> None:
        stays, goes = spec("stays"), spec("goes")
        app_id = await deployed(world, stays, goes)
        worker = await world.worker(hold=True)
        running = await world.client.spawn(goes.function_id, b"x")
        await worker.until(lambda: bool(worker.held))
        waiting = [await world.client.spawn(goes.function_id, b"y") for _ in range(5)]
        other = await world.client.spawn(stays.function_id, b"z")
        await world.client.request(PublishApp(app_id, [stays], Deploy()))
        for call_id in waiting:
            _, batch = await world.client.outputs(call_id)
            assert batch is not None
            assert list(batch.code) == [LOST]
            assert b"goes was removed by a newer deploy" in bytes(batch.payload)
        worker.let_go()
        for call_id, value in ((running, b"x"), (other, b"z")):
            _, batch = await world.client.outputs(call_id)
            assert batch is not None
            assert batch.payloads() == [value]
        assert not world.server.durable.windows.calls
        with pytest.raises(Refused, match="there is no function"):
            await world.client.spawn(goes.function_id, b"x")

    in_world(state, story)


def test_a_call_with_much_in_the_store_ends_with_its_function(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    from ionian.server.durable import feeding

    monkeypatch.setattr(feeding, "WINDOW", 10)

    async def story(world: World) -> None:
        goes = spec("goes")
        app_id = await deployed(world, goes)
        worker = await world.worker(hold=True)
        call_id = new_id("fc")
        for start in range(0, 100, 5):
            await world.client.spawn(
                goes.function_id, *[b"x"] * 5, call_id=call_id, start=start, last=start == 95
            )
        await worker.until(lambda: bool(worker.held))
        await world.client.request(PublishApp(app_id, [spec("another")], Deploy()))
        worker.let_go()
        _, batch = await world.client.outputs(call_id, 99)
        assert batch is not None
        assert b"goes was removed by a newer deploy" in bytes(batch.payload)
        _, batch = await world.client.outputs(call_id, 0)
        assert batch is not None
        assert batch.payloads() == [b"x"]
        assert len(worker.ran) < 100

    in_world(state, story)


def test_calls_of_another_environment_are_not_there(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        await world.worker()
        call_id = await world.client.spawn(function_id, b"x")
        world.server.store.environments.create("dev")
        token = "ti-" + "a" * 26 + "." + "b" * 43
        admit_token(world.server.store, token, kind="client", environment="dev")
        stranger = await dial(world.url, Client)
        await stranger.request(Hello("client", token, VERSION, new_id("cl")))
        for message in (
            GetOutputs(call_id),
            GetCallInfo(call_id),
            CancelCall(call_id),
            ExplainCall(call_id),
            GetCallGraph(call_id),
        ):
            with pytest.raises(Refused, match="there is no spawned call"):
                await stranger.request(message)
        with pytest.raises(Refused, match="there is no function"):
            await stranger.spawn(function_id, b"y")
        _, batch = await world.client.outputs(call_id)
        assert batch is not None
        assert batch.payloads() == [b"x"]
        stranger.disconnect()

    in_world(state, story)


def test_a_list_of_calls_tells_nobody_the_whole_id_of_a_client_by_which_its_results_are_had(
    state: StateFolder,
) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        await world.client.spawn(function_id, b"x")
        listed, _ = await world.client.request(ListCalls())
        assert [call.caller for call in listed.calls] == ["cl-" + "0" * 14]

    in_world(state, story)


def named(call_id: str, digest: str) -> bytes:
    """An input that is a blob."""
    payload = f"{digest} 5".encode()
    return Batch(call_id, [0], [len(payload)], payload, code=[BLOB]).pack(INPUTS)


def test_inputs_that_are_blobs_keep_them_and_a_container_hands_on_only_its_own(state: StateFolder) -> None:
    async def story(world: World) -> None:
        app_id, function_id = await world.function()
        server = world.server
        worker = await world.worker(hold=True)
        digest = await asyncio.to_thread(server.context.blobs.put, b"large")
        call_id = new_id("fc")
        await world.client.request(Spawn(call_id, function_id), named(call_id, digest))
        await worker.until(lambda: bool(worker.held))
        assert digest in server.store.old_calls.blobs()
        assert server.store.blob_grants.allowed(app_id, [digest]) == {digest}
        secret = await asyncio.to_thread(server.context.blobs.put, b"other")
        container = Actor("container", "co-1", "main", app_id)
        for wanted, kind in ((digest, "Done"), (secret, "Failure"), ("0" * 64, "Failure")):
            heard: asyncio.Future[object] = asyncio.get_running_loop().create_future()
            another = new_id("fc")
            entry = named(another, wanted)
            server.durable.spawn(Spawn(another, function_id), entry, container, heard.set_result)
            assert type(await heard).__name__ == kind
        worker.let_go()
        _, batch = await world.client.outputs(call_id)
        assert batch is not None

    in_world(state, story)
