"""Spawned calls: what is acknowledged is kept, ends once, and waits in the store while much is under way."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from tests.unit.server.spawning import TestWorker, World, in_world, inputs

from ionian.machine.state import StateFolder
from ionian.protocol.apps import StopApp
from ionian.protocol.batch import LOST
from ionian.protocol.calls import (
    BindFunction,
    CancelCall,
    ExplainCall,
    GetCallGraph,
    GetCallInfo,
    GetFunctionStats,
    GetOutputs,
    Spawn,
    SpawnEach,
    SpawnedEach,
    UpdateAutoscaler,
)
from ionian.protocol.ids import input_id, new_id
from ionian.protocol.spec import Overrides
from ionian.protocol.stream import Refused
from ionian.server.durable import feeding, reading
from ionian.server.server import Server


def test_a_spawned_input_ends_in_a_result_that_can_be_read_again(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        await world.worker()
        call_id = await world.client.spawn(function_id, b"one")
        for _ in range(2):
            answer, batch = await world.client.outputs(call_id)
            assert (answer.total, answer.done, answer.complete, answer.expired) == (1, 1, True, False)
            assert batch is not None
            assert batch.payloads() == [b"one"]

    in_world(state, story)


def test_results_come_in_the_order_of_inputs_and_as_many_as_are_there(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        await world.worker()
        call_id = await world.client.spawn(function_id, *[b"%d" % n for n in range(500)], last=False)
        await world.client.spawn(
            function_id, *[b"%d" % n for n in range(500, 800)], call_id=call_id, start=500
        )
        found: list[bytes] = []
        while len(found) < 800:
            answer, batch = await world.client.outputs(call_id, len(found), limit=300)
            assert answer.total == 800
            assert batch is not None
            assert batch.index[0] == len(found)
            found += batch.payloads()
        assert found == [b"%d" % n for n in range(800)]
        answer, batch = await world.client.outputs(call_id, 800)
        assert batch is None
        assert answer.complete
        assert answer.done == 800

    in_world(state, story)


def test_asking_before_the_result_is_there_waits_as_long_as_it_says(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        worker = await world.worker(hold=True)
        call_id = await world.client.spawn(function_id, b"x")
        answer, batch = await world.client.outputs(call_id, wait_s=0)
        assert batch is None
        assert answer.done == 0
        asked = asyncio.ensure_future(world.client.outputs(call_id))
        await worker.until(lambda: bool(worker.held))
        worker.let_go()
        _, batch = await asked
        assert batch is not None
        assert batch.payloads() == [b"x"]

    in_world(state, story)


def test_inputs_that_are_sent_again_run_once(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        worker = await world.worker()
        call_id = await world.client.spawn(function_id, b"x", b"y")
        await world.client.spawn(function_id, b"x", b"y", call_id=call_id)
        await world.client.outputs(call_id, 1)
        await world.client.spawn(function_id, b"x", b"y", call_id=call_id)
        assert sorted(worker.ran) == [(call_id, 0), (call_id, 1)]

    in_world(state, story)


def test_chunks_out_of_order_all_run(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        await world.worker()
        call_id = await world.client.spawn(function_id, b"a", last=False)
        await world.client.spawn(function_id, b"c", call_id=call_id, start=2, last=True)
        await world.client.spawn(function_id, b"b", call_id=call_id, start=1, last=False)
        found = [await world.client.outputs(call_id, index) for index in range(3)]
        assert [batch.payloads() for _, batch in found if batch is not None] == [[b"a"], [b"b"], [b"c"]]

    in_world(state, story)


def test_a_call_without_inputs_and_one_whose_end_comes_alone_are_finished(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        await world.worker()
        empty = await world.client.spawn(function_id)
        answer, batch = await world.client.outputs(empty)
        assert (answer.total, answer.complete, batch) == (0, True, None)
        call_id = await world.client.spawn(function_id, b"x", last=False)
        await world.client.outputs(call_id)
        beyond = asyncio.ensure_future(world.client.outputs(call_id, 1))
        await world.client.spawn(function_id, call_id=call_id, start=1)
        answer, batch = await beyond
        assert (answer.total, answer.done, answer.complete, batch) == (1, 1, True, None)
        assert not world.server.durable.windows.calls

    in_world(state, story)


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("function", "there is no function"),
        ("call", "expected an id like fc-"),
        ("gap", "consecutive indexes"),
        ("payload", "expected one entry of inputs"),
        ("late", "takes no more inputs"),
    ],
)
def test_what_can_not_be_spawned_is_refused(state: StateFolder, what: str, message: str) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        if what == "late":
            await world.client.spawn(function_id, b"x", call_id=LATE)
        with pytest.raises(Refused, match=message):
            await world.client.request(*wrong(what, function_id))

    in_world(state, story)


LATE = new_id("fc")


def wrong(what: str, function_id: str) -> tuple[Spawn, bytes]:
    """A Spawn that is not right."""
    call_id = new_id("fc")
    entry = inputs(call_id, 0, [b"x", b"y"])
    match what:
        case "function":
            return Spawn(call_id, new_id("fu")), entry
        case "call":
            return Spawn("fc-1", function_id), entry
        case "gap":
            return Spawn(call_id, function_id), entry.replace(b"\1\0\0\0", b"\2\0\0\0", 1)
        case "payload":
            return Spawn(call_id, function_id), b""
        case _:
            return Spawn(LATE, function_id), inputs(LATE, 1, [b"y"])


def each(function_id: str, *inputs: tuple[str, bytes]) -> tuple[SpawnEach, bytes]:
    """Calls of one input each."""
    payload = b"".join([value for _, value in inputs])
    return SpawnEach(function_id, [call for call, _ in inputs], [len(value) for _, value in inputs]), payload


def test_calls_that_come_together_are_each_a_call_of_its_own(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        calls = [(new_id("fc"), value) for value in (b"one", b"", b"three")]
        for _ in range(2):  # sent again, they are known
            answer, _ = await world.client.request(*each(function_id, *calls))
            assert answer == SpawnedEach()
        await world.worker()
        for call_id, value in calls:
            answer, batch = await world.client.outputs(call_id)
            assert (answer.total, answer.complete) == (1, True)
            assert batch is not None
            assert batch.payloads() == [value]

    in_world(state, story)


def test_one_of_several_calls_that_is_another_functions_is_named_and_the_others_are_kept(
    state: StateFolder,
) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        _, another = await world.function()
        good, bad = new_id("fc"), new_id("fc")
        await world.client.spawn(another, b"x", call_id=bad)
        answer, _ = await world.client.request(*each(function_id, (bad, b"y"), (good, b"z")))
        assert [(one.call_id, one.type) for one in answer.failed] == [(bad, "NotFoundError")]
        await world.worker()
        _, batch = await world.client.outputs(good)
        assert batch is not None
        assert batch.payloads() == [b"z"]

    in_world(state, story)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        (SpawnEach("", [], []), "one or more, got 0 calls and 0 sizes"),
        (SpawnEach("", [LATE], []), "got 1 calls and 0 sizes"),
        (SpawnEach("", [LATE, LATE], [3, -1]), "expected inputs of 2 bytes"),
        (SpawnEach("", [LATE], [3]), "expected inputs of 2 bytes in a SpawnEach, got sizes of 3"),
        (SpawnEach("", ["fc-1"], [2]), "expected an id like fc-"),
        (SpawnEach("", [LATE], [2], tag="a\0b"), "a tag without NUL characters in a SpawnEach"),
        (SpawnEach(new_id("fu"), [LATE], [2]), "there is no function"),
    ],
)
def test_calls_that_come_together_and_are_not_right_are_refused(
    state: StateFolder, message: SpawnEach, said: str
) -> None:
    async def story(world: World) -> None:
        if not message.function_id:
            _, message.function_id = await world.function()
        with pytest.raises(Refused, match=said):
            await world.client.request(message, b"xy")

    in_world(state, story)


def test_much_waits_in_the_store_and_all_of_it_ends(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "WINDOW", 100)
    monkeypatch.setattr(reading, "CALLS_READ", 16)

    async def story(world: World) -> None:
        _, function_id = await world.function()
        singles = await asyncio.gather(*[world.client.spawn(function_id, b"s") for _ in range(300)])
        large = new_id("fc")
        for start in range(0, 1000, 50):
            await world.client.spawn(function_id, *[b"x"] * 50, call_id=large, start=start, last=start == 950)
        windows = world.server.durable.windows
        assert sum(kept.under_way for kept in windows.calls.values()) <= 150
        stats, _ = await world.client.request(GetFunctionStats(function_id))
        assert stats.backlog == 1300
        await world.worker()
        for call_id in singles:
            assert (await world.client.outputs(call_id))[1] is not None
        _, batch = await world.client.outputs(large, 999)
        assert batch is not None
        while windows.calls:
            await asyncio.sleep(0.01)

    in_world(state, story)


def test_what_is_unfinished_goes_on_after_a_restart_and_what_has_a_result_does_not(
    state: StateFolder,
) -> None:
    async def before(world: World) -> tuple[list[str], TestWorker]:
        _, function_id = await world.function()
        worker = await world.worker()
        done = await world.client.spawn(function_id, b"done")
        await world.client.outputs(done)
        half = await world.client.spawn(function_id, b"0", last=False)
        await world.client.outputs(half)
        worker.hold = True
        await world.client.spawn(function_id, b"1", b"2", call_id=half, start=1)
        open = await world.client.spawn(function_id, b"open")
        await worker.until(lambda: bool(worker.held))
        return [done, half, open], worker

    calls, old = in_world(state, before)
    old.held.clear()  # it ended with its containers
    old.containers.clear()

    async def after(world: World) -> None:
        worker = await world.worker(old)
        worker.ran.clear()
        _, half, open = calls
        for call_id, index, value in ((half, 1, b"1"), (half, 2, b"2"), (open, 0, b"open"), (half, 0, b"0")):
            _, batch = await world.client.outputs(call_id, index)
            assert batch is not None
            assert batch.payloads() == [value]
        assert sorted(worker.ran) == sorted([(half, 1), (half, 2), (open, 0)])

    in_world(state, after)


def test_a_worker_that_outlives_the_server_runs_nothing_twice(state: StateFolder) -> None:
    async def before(world: World) -> tuple[str, TestWorker]:
        _, function_id = await world.function()
        worker = await world.worker(hold=True)
        call_id = await world.client.spawn(function_id, *[b"x"] * 20)
        await worker.until(lambda: bool(worker.held))
        return call_id, worker

    call_id, old = in_world(state, before)

    async def after(world: World) -> None:
        worker = await world.worker(old, hold=True)
        known = set(worker.ran)
        while not world.server.engine.dispatcher.core.settled:
            await asyncio.sleep(0.05)
        worker.let_go()
        for index in range(20):
            _, batch = await world.client.outputs(call_id, index)
            assert batch is not None
        assert len(worker.ran) == len(set(worker.ran))
        assert known <= set(worker.ran)
        await worker.until(lambda: not worker.unconfirmed)

    in_world(state, after)


def test_results_that_were_recorded_and_not_confirmed_are_confirmed_and_not_run_again(
    state: StateFolder,
) -> None:
    async def before(world: World) -> tuple[str, TestWorker]:
        _, function_id = await world.function()
        worker = await world.worker(hold=True)
        call_id = await world.client.spawn(function_id, b"0", b"1", last=False)
        await world.client.spawn(function_id, b"2", call_id=call_id, start=2)
        await worker.until(lambda: bool(worker.held))
        first = worker.held.pop(0)
        worker.answer(first)
        sent = dict(worker.unconfirmed)
        for index in first.index:
            await world.client.outputs(call_id, index)
        worker.unconfirmed = sent  # the confirmation did not reach it
        return call_id, worker

    call_id, old = in_world(state, before)

    async def after(world: World) -> None:
        worker = await world.worker(old)
        worker.let_go()
        for index in range(3):
            _, batch = await world.client.outputs(call_id, index)
            assert batch is not None
        await worker.until(lambda: not worker.unconfirmed)
        assert sorted(worker.ran) == [(call_id, index) for index in range(3)]

    in_world(state, after)


def test_results_are_confirmed_once_they_are_recorded_and_not_before(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        from ionian.server.store.calls import NewResults
        from ionian.server.store.database import StoreFull

        _, function_id = await world.function()
        worker = await world.worker(hold=True)
        call_id = await world.client.spawn(function_id, b"x")
        await worker.until(lambda: bool(worker.held))
        calls = world.server.store.calls
        write, full = calls.write, True

        def refuse(group: list[object]) -> None:
            if full and any(isinstance(one, NewResults) for one in group):
                raise StoreFull("full")
            write(group)  # type: ignore[arg-type]

        monkeypatch.setattr(calls, "write", refuse)
        worker.let_go()
        await world.client.outputs(call_id, wait_s=0.3)
        assert worker.unconfirmed
        full = False
        _, batch = await world.client.outputs(call_id)
        assert batch is not None
        await worker.until(lambda: not worker.unconfirmed)

    in_world(state, story)


@pytest.mark.parametrize("what", ["inputs", "results"])
def test_what_the_database_never_takes_costs_nobody_else_anything(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    async def story(world: World) -> None:
        from ionian.server.store.calls import EndCalls

        _, function_id = await world.function()
        worker = await world.worker()
        calls = world.server.store.calls
        write, tries = calls.write, 0

        def refuse(group: list[Any]) -> None:
            nonlocal tries
            tries += 1
            kinds = {type(one).__name__ for one in group if not isinstance(one, EndCalls)}
            kind = "Spawning" if what == "inputs" else "_Numbered"
            if kind in kinds and any(b"poison" in bytes(one.batch.payload) for one in group):
                raise OverflowError("too large")
            write(group)

        monkeypatch.setattr(calls, "write", refuse)
        values = [b"poison" if n == 37 else b"%d" % n for n in range(100)]
        spawned = [world.client.spawn(function_id, value) for value in values]
        found = await asyncio.gather(*spawned, return_exceptions=True)
        for value, call_id in zip(values, found, strict=True):
            if what == "inputs" and value == b"poison":
                assert isinstance(call_id, Refused)
                assert "OverflowError: too large" in call_id.message
                continue
            assert isinstance(call_id, str)
            _, batch = await world.client.outputs(call_id)
            assert batch is not None
            if value == b"poison":
                assert b"could not be stored: OverflowError" in batch.payloads()[0]
            else:
                assert batch.payloads() == [value]
        await worker.until(lambda: not worker.unconfirmed)
        assert tries < 150, "what is never written was tried again and again"

    in_world(state, story)


def test_new_inputs_are_refused_where_the_disk_is_nearly_full_and_results_are_kept(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        worker = await world.worker(hold=True)
        call_id = await world.client.spawn(function_id, b"x")
        durable = world.server.durable
        monkeypatch.setattr(durable.intake, "_look_for_room", lambda: False)
        durable.intake._looked_at = 0.0  # pyright: ignore[reportPrivateUsage]
        with pytest.raises(Refused, match="nearly full"):
            await world.client.spawn(function_id, b"y")
        await worker.until(lambda: bool(worker.held))
        worker.let_go()
        assert (await world.client.outputs(call_id))[1] is not None

    in_world(state, story)


def test_a_cancelled_call_ends_at_once_and_its_results_say_so(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        worker = await world.worker(hold=True)
        call_id = await world.client.spawn(function_id, b"x", b"y", b"z")
        await worker.until(lambda: bool(worker.held))
        asked = asyncio.ensure_future(world.client.outputs(call_id, 2))
        await world.client.request(CancelCall(call_id))
        answer, batch = await asked
        assert batch is not None
        assert list(batch.code) == [LOST]
        assert b"Input was cancelled by user" in bytes(batch.payload)
        assert answer.done == answer.total == 3
        await worker.until(lambda: bool(worker.cancelled))
        info, _ = await world.client.request(GetCallInfo(call_id))
        assert info.cancelled
        worker.let_go()
        with pytest.raises(Refused, match="takes no more inputs"):
            await world.client.spawn(function_id, b"more", call_id=call_id, start=3)
        await world.client.request(CancelCall(call_id))

    in_world(state, story)


@pytest.mark.parametrize(
    ("detach", "message"), [(True, b"was stopped"), (False, b"Input was cancelled: its app")]
)
def test_calls_end_with_their_app_and_their_results_stay(
    state: StateFolder, detach: bool, message: bytes
) -> None:
    async def story(world: World) -> None:
        app_id, function_id = await world.function(detach=detach)
        worker = await world.worker()
        done = await world.client.spawn(function_id, b"done")
        await world.client.outputs(done)
        worker.hold = True
        running = await world.client.spawn(function_id, b"x")
        await worker.until(lambda: bool(worker.held))
        asked = asyncio.ensure_future(world.client.outputs(running))
        await world.client.request(StopApp(app_id, for_good=True))
        _, batch = await asked
        assert batch is not None
        assert message in bytes(batch.payload)
        _, batch = await world.client.outputs(done)
        assert batch is not None
        assert batch.payloads() == [b"done"]
        with pytest.raises(Refused, match="there is no function"):
            await world.client.spawn(function_id, b"x")

    in_world(state, story)


def test_a_detached_app_has_calls_while_some_wait_in_the_store(state: StateFolder) -> None:
    async def story(world: World) -> None:
        app_id, function_id = await world.function()
        assert not await world.server.durable.has_calls(app_id)
        call_id = await world.client.spawn(function_id, b"x")
        assert await world.server.durable.has_calls(app_id)
        await world.worker()
        await world.client.outputs(call_id)
        assert not await world.server.durable.has_calls(app_id)

    in_world(state, story)


def test_results_expire_and_calls_are_forgotten_later(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        await world.worker()
        calls = [await world.client.spawn(function_id, b"x" * 100) for _ in range(5)]
        for call_id in calls:
            await world.client.outputs(call_id)
        retention, now = world.server.retention, time.time()
        await retention.sweep(now)
        assert (await world.client.outputs(calls[0]))[1] is not None
        await retention.sweep(now, keep_bytes=0)
        answer, batch = await world.client.outputs(calls[0])
        assert answer.expired
        assert batch is None
        await retention.sweep(now + 31 * 24 * 3600)
        with pytest.raises(Refused, match="there is no spawned call"):
            await world.client.outputs(calls[0])

    in_world(state, story)


@pytest.mark.parametrize("call_id", ["fc-1", "", "in-" + "0" * 26, "fc-" + "0" * 26])
def test_an_unknown_call_says_what_ids_look_like(state: StateFolder, call_id: str) -> None:
    async def story(world: World) -> None:
        for message in (GetOutputs(call_id), GetCallInfo(call_id), CancelCall(call_id), ExplainCall(call_id)):
            with pytest.raises(Refused, match=r"like fc-01JD|there is no spawned call|\.spawn"):
                await world.client.request(message)

    in_world(state, story)


def test_a_call_graph_has_the_calls_that_inputs_made(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        worker = await world.worker()
        root = await world.client.spawn(function_id, b"a", b"b")
        await world.client.outputs(root, 1)
        child = await world.client.spawn(function_id, b"c", parent=input_id(root, 1))
        await world.client.outputs(child)
        worker.hold = True
        grandchild = await world.client.spawn(function_id, b"d", parent=input_id(child, 0))
        await worker.until(lambda: bool(worker.held))
        graph, _ = await world.client.request(GetCallGraph(root))
        nodes = [(node.input_id, node.parent, node.status, bool(node.container_id)) for node in graph.inputs]
        assert nodes == [
            (input_id(root, 0), "", "success", False),
            (input_id(root, 1), "", "success", False),
            (input_id(child, 0), input_id(root, 1), "success", False),
            (input_id(grandchild, 0), input_id(child, 0), "running", True),
        ]

    in_world(state, story)


def test_why_a_call_waits_is_said_and_what_is_done(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feeding, "WINDOW", 4)

    async def story(world: World) -> None:
        _, function_id = await world.function()
        call_id = new_id("fc")
        for start in range(0, 12, 2):
            await world.client.spawn(function_id, b"x", b"y", call_id=call_id, start=start, last=start == 10)
        explained, _ = await world.client.request(ExplainCall(call_id))
        counts = {reason.state: reason.count for reason in explained.reasons}
        assert counts["kept"] == 8
        assert sum(counts.values()) == 12
        await world.worker()
        await world.client.outputs(call_id, 11)
        explained, _ = await world.client.request(ExplainCall(call_id))
        assert [(reason.state, reason.count) for reason in explained.reasons] == [("done", 12)]

    in_world(state, story)


def test_the_settings_of_the_autoscaler_outlive_the_server(state: StateFolder) -> None:
    async def before(world: World) -> str:
        _, function_id = await world.function()
        settings, _ = await world.client.request(
            UpdateAutoscaler(function_id, buffer_containers=1, max_containers=3)
        )
        assert (settings.scaling.buffer_containers, settings.scaling.max_containers) == (1, 3)
        with pytest.raises(Refused, match="expected min_containers of at most max_containers"):
            await world.client.request(UpdateAutoscaler(function_id, min_containers=5))
        return function_id

    function_id = in_world(state, before)

    async def after(world: World) -> None:
        settings, _ = await world.client.request(UpdateAutoscaler(function_id, scaledown_window_s=9))
        assert (settings.scaling.buffer_containers, settings.scaling.scaledown_window_s) == (1, 9)

    in_world(state, after)


def test_the_settings_of_a_variant_outlive_the_server_and_whoever_asks_for_it_again(
    state: StateFolder,
) -> None:
    overrides = Overrides(timeout_s=5.0)

    async def before(world: World) -> str:
        _, function_id = await world.function()
        variant, _ = await world.client.request(BindFunction(function_id, overrides))
        await world.client.request(UpdateAutoscaler(variant.function_id, max_containers=7))
        await world.client.request(BindFunction(function_id, overrides))
        assert world.server.engine.specs[variant.function_id][0].scaling.max_containers == 7
        return variant.function_id

    variant_id = in_world(state, before)

    async def after(world: World) -> None:
        settings, _ = await world.client.request(UpdateAutoscaler(variant_id, buffer_containers=1))
        assert (settings.scaling.buffer_containers, settings.scaling.max_containers) == (1, 7)

    in_world(state, after)


def test_a_call_of_an_app_that_ended_while_the_server_was_down_ends(state: StateFolder) -> None:
    async def before(world: World) -> tuple[str, str]:
        app_id, function_id = await world.function()
        return app_id, await world.client.spawn(function_id, b"x")

    app_id, call_id = in_world(state, before)
    server: Server | None = None

    async def stop() -> None:
        nonlocal server
        server = Server(state)
        server.store.apps.stop(app_id, "by hand")
        server.store.close()

    asyncio.run(stop())

    async def after(world: World) -> None:
        _, batch = await world.client.outputs(call_id)
        assert batch is not None
        assert b"was stopped" in bytes(batch.payload)

    in_world(state, after)
