"""The retries that spawned inputs have used count on over a start of the server."""

from __future__ import annotations

from sqlalchemy import func, select
from tests.unit.server.spawning import TestWorker, World, in_world

from ionian.machine.state import StateFolder
from ionian.protocol.batch import ERROR, OK
from ionian.protocol.spec import RetryPolicy
from ionian.server.store.schema import CallTry

AT_ONCE = RetryPolicy(max_retries=3, initial_delay_s=0.0)


def kept(world: World) -> int:
    """For how many inputs it is kept what they have used."""
    with world.server.store.database.read() as session:
        return session.scalar(select(func.count()).select_from(CallTry)) or 0


async def fail(worker: TestWorker, times: int, code: int = ERROR) -> None:
    """The input that the worker has ends like this, and what follows of it too."""
    for _ in range(times):
        await worker.until(lambda: bool(worker.held))
        worker.answer(worker.held.pop(0), code)


def test_an_input_that_fails_all_the_time_has_its_retries_once_over_all_starts(state: StateFolder) -> None:
    async def before(world: World) -> tuple[str, TestWorker]:
        _, function_id = await world.function(retries=AT_ONCE)
        worker = await world.worker(hold=True)
        call_id = await world.client.spawn(function_id, b"fails")
        await fail(worker, 2)
        await worker.until(lambda: bool(worker.held))
        return call_id, worker

    call_id, old = in_world(state, before)
    old.held.clear()  # it ended with its containers
    old.containers.clear()

    async def after(world: World) -> None:
        worker = await world.worker(old, hold=True)
        await fail(worker, 2)
        _, batch = await world.client.outputs(call_id)
        assert batch is not None
        assert list(batch.code) == [ERROR]
        assert len(worker.ran) == 3 + 2, "three before the start, of which one was cut short"

    in_world(state, after)


def test_a_failure_that_was_counted_before_the_server_ended_is_not_counted_again(state: StateFolder) -> None:
    async def before(world: World) -> tuple[str, TestWorker]:
        _, function_id = await world.function(retries=RetryPolicy(max_retries=1, initial_delay_s=0.0))
        worker = await world.worker(hold=True)
        call_id = await world.client.spawn(function_id, b"fails once")
        await worker.until(lambda: bool(worker.held))
        failed = worker.held[0]
        await fail(worker, 1)
        await worker.until(lambda: bool(worker.held))
        worker.unconfirmed[worker.seq] = failed  # as if its confirmation had been lost
        failed.code, failed.seq, failed.micros = [ERROR], worker.seq, [1]
        return call_id, worker

    call_id, old = in_world(state, before)
    old.held.clear()
    old.containers.clear()

    async def after(world: World) -> None:
        worker = await world.worker(old, hold=True)
        await fail(worker, 1, OK)
        _, batch = await world.client.outputs(call_id)
        assert batch is not None
        assert list(batch.code) == [OK]

    in_world(state, after)


def test_what_an_input_has_used_is_forgotten_with_its_result(state: StateFolder) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function(retries=AT_ONCE)
        worker = await world.worker(hold=True)
        call_id = await world.client.spawn(function_id, b"0", b"1")
        await fail(worker, 1)
        await worker.until(lambda: bool(worker.held))
        worker.let_go()
        for index in range(2):
            _, batch = await world.client.outputs(call_id, index)
            assert batch is not None
            assert list(batch.code) == [OK]
        assert kept(world) == 0

    in_world(state, story)
