"""Who is told that a function is never without a container."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.server.test_engine import Person, World, call, in_world

from ionian.machine.state import StateFolder
from ionian.protocol.apps import FollowApp, Log
from ionian.protocol.calls import CloseCalls
from ionian.protocol.usage import Amounts, Line, Metered, MeteredKept, Reading
from ionian.protocol.workers import ContainerState, StartContainer
from ionian.server.always_on import DAY_S, AlwaysOn, after_of

HOUR_S = 3600.0


class Day:
    """A function with one container, and a clock that the test sets, in hours since its start."""

    def __init__(self, world: World, client: Person, worker: Person, start: StartContainer) -> None:
        self.world, self.client, self.worker, self.start = world, client, worker, start
        (self.container,) = world.server.engine.containers.all()
        self.now = self.container.since
        self.always_on = AlwaysOn(world.server, DAY_S, clock=lambda: self.now)

    @classmethod
    async def begun(cls, world: World, **used: float) -> Day:
        """`used`: hours by line."""
        client, worker = await world.person("client"), await world.worker()
        app_id, function_id = await world.app(client)
        client.send(FollowApp(app_id))
        call(client, function_id)
        start = await worker.hears(StartContainer)
        day = cls(world, client, worker, start)
        reading = Reading(start.container_id, app_id, "main", function_id, function_id, "f")
        lines: dict[str, Line] = {"idle": "idle", "calls": "calls"}
        for name, hours in used.items():
            reading.lines[lines[name]] = Amounts(hours * HOUR_S, hours * HOUR_S)
        if used:
            worker.send(Metered("one", 1, 0.0, [reading]))
            await worker.hears(MeteredKept)
        return day

    async def at(self, hours: float) -> list[str]:
        """Looks then; what the client was told."""
        self.now = self.container.since + hours * HOUR_S
        self.always_on.look()
        server = self.world.server
        while server._tasks:  # pyright: ignore[reportPrivateUsage]
            await asyncio.wait(server._tasks)  # pyright: ignore[reportPrivateUsage]
            await asyncio.sleep(0)
        await self.client.request(CloseCalls([]))
        said = zip(self.client.heard, self.client.payloads, strict=True)
        found = [payload.decode() for message, payload in said if isinstance(message, Log)]
        self.client.heard, self.client.payloads = [], []
        return found


def test_after_a_day_it_is_said_once_a_day(state: StateFolder) -> None:
    async def story(world: World) -> None:
        day = await Day.begun(world, idle=20.0, calls=4.0)
        assert await day.at(23.9) == []
        (said,) = await day.at(24.1)
        assert said == (
            "f has not been without a container for 24.1 hours: of 24.0 hours in containers 20.0 hours were idle; it is "
            "called again before scaledown_window=60 s is over\n"
        )
        assert await day.at(47.9) == []
        assert len(await day.at(48.2)) == 1

    in_world(state, story)


def test_what_is_busy_all_day_is_not_named(state: StateFolder) -> None:
    async def story(world: World) -> None:
        day = await Day.begun(world, idle=2.0, calls=22.0)
        assert await day.at(24.1) == []

    in_world(state, story)


def test_it_has_its_price(state: StateFolder) -> None:
    async def story(world: World) -> None:
        (state.root / "prices.toml").write_text('currency = "EUR"\n[per_hour]\ncpu_core = 0.5\n')
        day = await Day.begun(world, idle=20.0)
        (said,) = await day.at(24.1)
        assert "were idle, which cost 10.00 EUR; " in said

    in_world(state, story)


def test_where_nothing_was_metered_yet_it_is_looked_again(state: StateFolder) -> None:
    async def story(world: World) -> None:
        day = await Day.begun(world)
        assert await day.at(24.1) == []
        reading = Reading(day.start.container_id, day.start.app_id, "main", "", "", "f")
        reading.function_id = day.container.function_id
        reading.lines["idle"] = Amounts(HOUR_S)
        day.worker.send(Metered("one", 1, 0.0, [reading]))
        await day.worker.hears(MeteredKept)
        assert len(await day.at(24.2)) == 1

    in_world(state, story)


def test_a_function_that_was_at_zero_begins_anew(state: StateFolder) -> None:
    async def story(world: World) -> None:
        day = await Day.begun(world, idle=20.0)
        await day.client.request(CloseCalls(list(world.server.engine.dispatcher.core.calls)))
        day.worker.send(ContainerState(day.start.number, "ended", "stopped"))
        await world.server.engine.containers.all_gone(day.start.app_id, 10)
        await day.at(20.0)
        call(day.client, day.container.function_id)
        await day.worker.hears(StartContainer)
        (other,) = world.server.engine.containers.all()
        other.since = day.now
        assert await day.at(24.1) == []
        assert len(await day.at(44.1)) == 1

    in_world(state, story)


@pytest.mark.parametrize(
    ("setting", "seconds"), [("24h", DAY_S), ("90m", 5400.0), ("0.5d", DAY_S / 2), ("off", None)]
)
def test_the_setting_is_a_time_or_off(setting: str, seconds: float | None) -> None:
    assert after_of(setting) == seconds


def test_a_setting_that_is_no_time_is_refused() -> None:
    with pytest.raises(ValueError, match="expected a time such as 24h or 90m, or off, got 'never'"):
        after_of("never")
