"""What became of the inputs of each function, minute by minute."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence

import pytest
from tests.unit.server.test_engine import World, call, in_world

from ionian.core.failures import failure
from ionian.machine.state import StateFolder
from ionian.protocol.batch import BLOB, DONE, ERROR, LOST, OK, YIELD, Batch
from ionian.protocol.calls import CloseCalls, OpenCall
from ionian.protocol.codec import encode
from ionian.protocol.ids import new_id
from ionian.protocol.wire import INPUTS, RESULTS
from ionian.protocol.workers import ContainerState, StartContainer
from ionian.server import counts
from ionian.server.durations import bucket, merged, percentiles, seconds
from ionian.server.store import Store
from ionian.server.store.counts import NUMBERS, Counted

MINUTE = 30_000_000


def minute(
    number: int = MINUTE, function_id: str = "fu-1", epoch: int = 1, *, succeeded: int = 0, failed: int = 0
) -> Counted:
    return Counted(function_id, number, epoch, "fu-1", "ap-1", "main", succeeded, failed)


# --- in the store


def test_a_minute_is_kept_in_place_of_what_was_kept_of_it(store: Store) -> None:
    store.counts.put([minute(succeeded=1)])
    later = minute(succeeded=5, failed=2)
    later.running, later.run, later.latency = 3, {80: 5}, {96: 5, 104: 2}
    store.counts.put([later, minute(MINUTE + 1, succeeded=7)])
    assert store.counts.of(MINUTE, MINUTE + 1, function_id="fu-1") == [later]


def test_what_two_starts_of_the_server_counted_of_one_minute_adds_up(store: Store) -> None:
    store.counts.put([minute(succeeded=1)])
    store.counts.put([minute(succeeded=2, epoch=2), minute(function_id="fu-v", failed=4)])
    total = {one.function_id: one for one in store.counts.sums(MINUTE, MINUTE + 1, "ap-1")}
    assert total["fu-1"].succeeded == 3
    assert (total["fu-v"].failed, total["fu-v"].root_id) == (4, "fu-1")
    assert len(store.counts.of(MINUTE, MINUTE + 1, root_id="fu-1")) == 3
    assert store.counts.sums(MINUTE + 1, MINUTE + 2, "ap-1") == []


def test_minutes_that_are_old_go(store: Store) -> None:
    store.counts.put([minute(number) for number in range(10, 16)])
    while store.counts.purge(13, most=2):
        pass
    assert [one.minute for one in store.counts.of(0, 99, app_id="ap-1")] == [13, 14, 15]


# --- durations


@pytest.mark.parametrize("micros", [3, 250, 1e3, 1e6, 3.6e9])
def test_a_duration_is_kept_to_five_percent(micros: float) -> None:
    assert seconds(bucket(micros)) == pytest.approx(micros / 1e6, rel=0.05)


def test_durations_of_nothing_have_a_bucket() -> None:
    assert bucket(0) == bucket(1) == 0


def test_percentiles_are_of_all_minutes_together() -> None:
    fast, slow = {bucket(1e3): 50}, {bucket(1e3): 39, bucket(1e6): 11}
    found = percentiles(merged([fast, slow]), (50, 90, 99))
    assert found[50] == found[50.0] == pytest.approx(0.001, rel=0.05)
    assert found[90] == pytest.approx(1.0, rel=0.05)
    assert percentiles({}, (50,)) == {}


# --- counted by a server


class Kept:
    """All that is in the store of a function."""

    def __init__(self, rows: Sequence[Counted]) -> None:
        self.numbers = {name: total for name in NUMBERS if (total := sum(getattr(row, name) for row in rows))}
        self.run, self.latency = merged(row.run for row in rows), merged(row.latency for row in rows)
        self.rows = rows


class Stage:
    """A function with one container, which a test plays."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.engine = world.server.engine
        self.seq = 0
        self.rows = 0
        self.ran: dict[tuple[str, int], int] = {}

    async def begin(self) -> Stage:
        self.client, self.worker = await self.world.person("client"), await self.world.worker()
        _, self.function_id = await self.world.app(self.client)
        return self

    async def call(self, *codes: int, payload: bytes = b"x", micros: int = 1000) -> str:
        """A call with an input for each code, all of which end so."""
        call_id = new_id("fc")
        count = len(codes)
        self.client.send_entry(encode(OpenCall(call_id, self.function_id)))
        self.client.send_entry(Batch(call_id, list(range(count)), [1] * count, b"x" * count).pack(INPUTS))
        await self.started()
        done = 0
        while done < count:
            done += await self.end_some(call_id, codes, payload, micros)
        self.rows += count
        await self.client.until(lambda: sum(len(batch) for batch in self.client.results) >= self.rows)
        return call_id

    async def started(self) -> None:
        if not self.seq:
            self.start = await self.worker.hears(StartContainer)
            self.worker.send(ContainerState(self.start.number, "ready"))

    async def end_some(self, call_id: str, codes: Sequence[int], payload: bytes, micros: int) -> int:
        """The container ends what it was given."""
        await self.worker.until(lambda: any(batch.call_id == call_id for batch in self.worker.results))
        (given,) = [batch for batch in self.worker.results if batch.call_id == call_id][:1]
        self.worker.results.remove(given)
        self.seq += 1
        count = len(given)
        ended = Batch(
            call_id,
            given.index,
            [len(payload)] * count,
            payload * count,
            attempt=given.attempt,
            code=[codes[index] for index in given.index],
            micros=[micros] * count,
            container=self.start.number,
            seq=self.seq,
        )
        self.worker.send_entry(ended.pack(RESULTS))
        return count

    async def kept(self) -> Kept:
        await self.engine.counts.write()
        rows = await asyncio.to_thread(
            self.world.server.store.counts.of, 0, 1 << 30, function_id=self.function_id
        )
        return Kept(rows)


def on_stage(state: StateFolder, story: Callable[[Stage], Awaitable[None]]) -> None:
    async def told(world: World) -> None:
        await story(await Stage(world).begin())

    in_world(state, told)


def test_every_input_of_a_map_is_counted_by_how_it_ended(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        await stage.call(*[OK] * 20, ERROR, OK | BLOB, ERROR)
        assert (await stage.kept()).numbers == {"succeeded": 21, "failed": 2, "started": 1}

    on_stage(state, story)


def test_what_an_input_took_is_told_from_what_its_caller_waited(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        await stage.call(OK, micros=40)
        kept = await stage.kept()
        assert kept.run == {bucket(40): 1}
        assert sum(kept.latency.values()) == 1
        assert min(kept.latency) > bucket(40)

    on_stage(state, story)


def test_an_input_that_ran_too_long_is_told_from_one_that_failed(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        await stage.call(LOST, payload=failure("FunctionTimeoutError", "f ran longer than its timeout"))
        await stage.call(LOST, payload=failure("RemoteError", "its process ended"))
        assert (await stage.kept()).numbers == {"timed_out": 1, "failed": 1, "started": 1}

    on_stage(state, story)


def test_items_of_a_generator_are_no_ends_and_its_end_has_no_duration(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        stage.engine.counts.delivered("cl-1", Batch("fc-?", [0], [1], b"x", code=[YIELD], seq=1))
        await stage.call(DONE, micros=3)
        kept = await stage.kept()
        assert kept.numbers == {"succeeded": 1, "started": 1}
        assert (kept.run, sum(kept.latency.values())) == ({}, 1)

    on_stage(state, story)


def test_what_is_delivered_again_counts_once(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        await stage.call(OK)
        (session,) = stage.engine.clients.values()
        stage.engine.client_joined(session)
        await stage.client.until(lambda: len(stage.client.results) == 2)
        assert (await stage.kept()).numbers == {"succeeded": 1, "started": 1}

    on_stage(state, story)


def test_results_that_wait_for_a_caller_who_is_away_are_counted(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        call_id = call(stage.client, stage.function_id)
        await stage.started()
        await stage.worker.until(lambda: stage.worker.results or None)
        stage.client.disconnect()
        while stage.engine.clients:
            await asyncio.sleep(0.01)
        await stage.end_some(call_id, [OK], b"x", 10)
        while not stage.engine.dispatcher.core.delivery.delivered:
            await asyncio.sleep(0.01)
        assert (await stage.kept()).numbers == {"succeeded": 1, "started": 1}

    on_stage(state, story)


def test_inputs_that_their_caller_gave_up_are_cancelled(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        call_id = call(stage.client, stage.function_id)
        await stage.started()
        await stage.client.request(CloseCalls([call_id]))
        assert (await stage.kept()).numbers == {"cancelled": 1, "started": 1}

    on_stage(state, story)


def test_inputs_that_ended_with_their_app_are_cancelled(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        call(stage.client, stage.function_id)
        await stage.started()
        app_id = stage.start.app_id
        stopping = asyncio.ensure_future(stage.world.server.engine.stop_app(app_id))
        await stage.client.until(lambda: stage.client.results)
        stage.worker.send(ContainerState(stage.start.number, "ended", "stopped"))
        await stopping
        kept = await stage.kept()
        assert (kept.numbers, kept.latency) == ({"cancelled": 1, "started": 1}, {})

    on_stage(state, story)


def test_containers_that_ended_unasked_are_errors(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        await stage.call(OK)
        stage.worker.send(ContainerState(stage.start.number, "ended", "signal", "it was killed"))
        await stage.engine.containers.all_gone(stage.start.app_id, 10)
        assert (await stage.kept()).numbers == {"succeeded": 1, "started": 1, "container_errors": 1}

    on_stage(state, story)


def test_a_minute_that_passes_is_closed_with_what_runs_at_its_end(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(stage: Stage) -> None:
        call(stage.client, stage.function_id)
        await stage.started()
        await stage.worker.until(lambda: stage.worker.results or None)
        now = stage.engine.counts.minute * 60.0
        for passed in (60, 120):
            monkeypatch.setattr(counts, "wall", lambda passed=passed: now + passed)
            kept = await stage.kept()
        assert [(row.started, row.running) for row in kept.rows] == [(1, 1), (0, 1)]

    on_stage(state, story)


def test_of_a_minute_the_most_that_waited_and_was_there_is_kept(
    state: StateFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def story(stage: Stage) -> None:
        call_id = call(stage.client, stage.function_id)  # before it has a container it waits
        await stage.started()
        await stage.worker.until(lambda: stage.worker.results or None)
        call(stage.client, stage.function_id)
        function = stage.engine.dispatcher.core.functions[stage.function_id]
        while not function.queued:
            await asyncio.sleep(0.01)
        await stage.kept()
        await stage.end_some(call_id, [OK], b"x", 10)
        while function.queued:
            await asyncio.sleep(0.01)
        minute, (row,) = stage.engine.counts.minute, (await stage.kept()).rows
        assert (row.waiting, row.containers) == (1, 1)

        async def stored() -> dict[str, int]:
            return {stage.function_id: 50}

        stage.engine.counts.stored = stored
        monkeypatch.setattr(counts, "wall", lambda: minute * 60.0 + 60)
        assert (await stage.kept()).rows[0].waiting == 50

    on_stage(state, story)


def test_what_is_not_in_the_store_yet_is_read_with_what_is(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        await stage.call(OK)
        await stage.kept()
        await stage.call(ERROR)
        (row,) = await stage.engine.counts.minutes(0, 1 << 30, stage.function_id)
        assert (row.succeeded, row.failed) == (1, 1)
        assert await stage.engine.counts.minutes(0, 1, stage.function_id) == []

    on_stage(state, story)


def test_arrivals_of_a_long_call_are_told_apart_in_bounded_memory(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        for index in range(3 * counts.MOST_MARKS):
            stage.engine.counts.put(Batch("fc-1", [index], [1], b"x"))
        assert stage.engine.counts.marks("fc-1") <= counts.MOST_MARKS

    on_stage(state, story)


def test_a_server_that_ends_writes_what_it_has_counted(state: StateFolder) -> None:
    async def story(stage: Stage) -> None:
        await stage.call(OK, OK, ERROR)

    on_stage(state, story)
    store = Store.open(state.database_url)
    assert sum(one.succeeded for one in store.counts.of(0, 1 << 30) if one.app_id) == 2
    store.close()
