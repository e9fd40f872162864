"""What is scheduled runs once each time that it is due, over crashes, restarts and new versions."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest
from sqlalchemy import update

from ionian.protocol.ids import new_id
from ionian.protocol.spec import FunctionSpec, Schedule
from ionian.protocol.stream import Refused
from ionian.server.schedules import AGAIN_S, LONGEST_SLEEP_S, Scheduler, call_id_of
from ionian.server.store import Store
from ionian.server.store.schedules import Due
from ionian.server.store.schema import App

BEGIN = 1_800_000_000.0
HOURLY = Schedule(hours=1)


class World:
    """A store with a deployed app of one function, a clock that stands, and the calls that were begun."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.now = BEGIN
        self.calls: list[tuple[str, float]] = []
        self.failure: Exception | None = None
        self.app_id = store.apps.create(
            new_id("ap"), environment="main", name="app", detach=True, client="cl-1"
        ).app_id
        self.function_id = new_id("fu")
        store.functions.publish(self.app_id, [self.spec(HOURLY)])
        self.state("deployed")
        self.restart()

    def spec(self, schedule: Schedule | None) -> FunctionSpec:
        return FunctionSpec(self.function_id, "f", "module", "f", schedule=schedule)

    def state(self, state: str) -> None:
        with self.store.database.write() as session:
            session.execute(update(App).values(state=state))

    def restart(self) -> None:
        """The server starts anew on its store."""
        self.scheduler = Scheduler(self.store.schedules, self._spawn, lambda: self.now)

    async def _spawn(self, call_id: str, due: Due) -> None:
        self.calls.append((call_id, due.at))
        if self.failure is not None:
            raise self.failure

    def deploy(self, schedule: Schedule | None) -> None:
        run(self.scheduler.publish(self.app_id, [self.spec(schedule)]))

    def look(self, now: float) -> float:
        self.now = now
        return run(self.scheduler.look())

    @property
    def times(self) -> list[float]:
        return [at - BEGIN for _, at in self.calls]


def run(work: Coroutine[Any, Any, Any]) -> Any:
    return asyncio.run(work)


@pytest.fixture
def world(store: Store) -> World:
    world = World(store)
    world.deploy(HOURLY)
    return world


def test_a_function_runs_each_time_that_it_is_due(world: World) -> None:
    assert world.look(BEGIN + 3590) == 10
    assert world.look(BEGIN + 3600.5) == LONGEST_SLEEP_S
    world.look(BEGIN + 3601)
    world.look(BEGIN + 7201)
    assert world.times == [3600, 7200]


def test_what_was_missed_is_caught_up_with_once(world: World) -> None:
    world.restart()
    world.look(BEGIN + 10.5 * 3600)
    world.look(BEGIN + 10.6 * 3600)
    assert world.times == [3600]
    assert world.store.schedules.next_at() == BEGIN + 11.5 * 3600


def test_a_crash_behind_the_call_begins_it_again_under_the_same_id(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(*_: Any) -> None:
        raise SystemError("the server dies here")

    with monkeypatch.context() as patch:
        patch.setattr(world.store.schedules, "ran", crash)
        with pytest.raises(SystemError):
            world.look(BEGIN + 3600)
    world.restart()
    world.look(BEGIN + 3700)
    world.look(BEGIN + 3800)
    assert world.calls == [(call_id_of(world.function_id, BEGIN + 3600), BEGIN + 3600)] * 2


def test_what_can_not_be_begun_is_tried_again_soon(world: World) -> None:
    world.failure = OSError("the disk is full")
    assert world.look(BEGIN + 3600) == AGAIN_S
    world.failure = None
    world.look(BEGIN + 3605)
    world.look(BEGIN + 3610)
    assert world.times == [3600, 3600]


def test_what_is_refused_is_not_tried_again(world: World) -> None:
    world.failure = Refused("ConflictError", "the app was stopped")
    world.look(BEGIN + 3600)
    world.look(BEGIN + 3610)
    assert world.times == [3600]


def test_a_deploy_with_the_same_schedule_does_not_put_it_off(world: World) -> None:
    world.now = BEGIN + 3000
    world.deploy(HOURLY)
    assert world.store.schedules.next_of([world.app_id]) == {world.app_id: BEGIN + 3600}


def test_a_changed_schedule_counts_from_its_deploy_and_a_removed_one_no_more(world: World) -> None:
    world.now = BEGIN + 3000
    world.deploy(Schedule(minutes=1))
    assert world.store.schedules.next_at() == BEGIN + 3060
    world.deploy(None)
    assert world.store.schedules.next_at() is None
    world.look(BEGIN + 10_000)
    assert world.calls == []


def test_an_app_that_is_not_deployed_runs_nothing_by_itself(world: World) -> None:
    world.state("stopped")
    world.look(BEGIN + 3600)
    assert world.calls == []
    run(world.scheduler.drop(world.app_id))
    world.state("deployed")
    assert world.store.schedules.next_at() is None


def test_a_clock_that_is_set_back_repeats_nothing(world: World) -> None:
    world.look(BEGIN + 3600)
    world.look(BEGIN + 1800)
    world.look(BEGIN + 3600)
    assert world.times == [3600]


def test_a_period_is_counted_from_when_it_was_due(world: World) -> None:
    world.look(BEGIN + 3625)
    assert world.store.schedules.next_at() == BEGIN + 7200


def test_ids_of_calls_follow_from_function_and_time() -> None:
    ids = {call_id_of(function, at) for function in ("fu-1", "fu-2") for at in (BEGIN, BEGIN + 0.5)}
    assert len(ids) == 4
    assert call_id_of("fu-1", BEGIN) == call_id_of("fu-1", BEGIN)
    assert all(len(id) == 29 and id.startswith("fc-") for id in ids)


def test_it_wakes_when_a_deploy_brings_something_sooner(store: Store) -> None:
    world = World(store)

    async def scene() -> None:
        begun = asyncio.Event()

        async def spawn(call_id: str, due: Due) -> None:
            begun.set()

        world.scheduler = Scheduler(store.schedules, spawn, lambda: world.now)
        world.scheduler.start()
        await world.scheduler.publish(world.app_id, [world.spec(HOURLY)])
        world.now = BEGIN + 3600
        await world.scheduler.publish(world.app_id, [])
        await world.scheduler.publish(world.app_id, [world.spec(Schedule(seconds=2))])
        world.now += 2
        await asyncio.wait_for(begun.wait(), 10)
        world.scheduler.stop()

    run(scene())
