"""Budgets: a warning at 80 %, no new calls from 100 % on, until the month is over or there is more to spend."""

from __future__ import annotations

import asyncio
import json
from datetime import datetime, timezone

import pytest
from tests.unit.server.test_engine import Person, World, call, in_world, inputs

from ionian.machine.state import StateFolder
from ionian.protocol.apps import CreateApp, FollowApp, Log, PublishApp
from ionian.protocol.batch import LOST
from ionian.protocol.calls import BindFunction, CloseCalls, OpenCall, Spawn, UpdateAutoscaler
from ionian.protocol.codec import encode
from ionian.protocol.environments import EnvironmentInfo, UpdateEnvironment
from ionian.protocol.ids import new_id
from ionian.protocol.images import image_id_of
from ionian.protocol.spec import FunctionSpec, ImageSpec, Overrides, Scaling
from ionian.protocol.stream import Refused
from ionian.protocol.usage import Amounts, Metered, MeteredKept, Reading
from ionian.protocol.workers import StartContainer
from ionian.server.budgets import Budgets, Standing
from ionian.server.server import Server
from ionian.server.store.usage_months import month_of

PRICES = 'currency = "EUR"\n[per_hour]\ncpu_core = 3600.0\n'
"""A core-second is one euro."""


class Budgeted:
    """A world with prices, an app that has a budget of 10, and a worker that says what it used."""

    def __init__(self, world: World, client: Person, worker: Person) -> None:
        self.world, self.client, self.worker = world, client, worker
        self.app_id, self.function_id = new_id("ap"), new_id("fu")
        self._told = 0

    @classmethod
    async def made(cls, world: World, *, budget: float | None = 10.0) -> Budgeted:
        (world.server.state.root / "prices.toml").write_text(PRICES)
        made = cls(world, await world.person("client"), await world.worker())
        await made.client.request(CreateApp(made.app_id, "dear"))
        await made.publish(budget)
        return made

    async def publish(self, budget: float | None, *, min_containers: int = 0) -> None:
        spec = FunctionSpec(
            self.function_id,
            "f",
            "m",
            "f",
            image_id=image_id_of(ImageSpec()),
            scaling=Scaling(min_containers=min_containers),
        )
        await self.client.request(PublishApp(self.app_id, [spec], budget=budget))

    async def spend(self, euros: float) -> None:
        """A container has used so much; the budgets know it."""
        self._told += 1
        reading = Reading("ta-1", self.app_id, "main", self.function_id, self.function_id, "f")
        reading.lines["calls"] = Amounts(euros, euros)
        self.worker.send(Metered("one", self._told, 0.0, [reading]))
        await self.worker.hears(MeteredKept)
        await self.budgets.look()

    @property
    def budgets(self) -> Budgets:
        return self.world.server.budgets

    async def answer(self) -> dict[str, str]:
        """What the next answer to the client says."""
        await self.client.until(lambda: self.client.results or None)
        batch = self.client.results.pop(0)
        assert batch.code[0] == LOST
        return json.loads(bytes(batch.payload))


def test_a_call_past_the_budget_is_refused_with_what_to_do(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        await dear.spend(9.99)
        call(dear.client, dear.function_id)
        await dear.worker.hears(StartContainer)
        await dear.spend(0.02)
        call(dear.client, dear.function_id)
        answer = await dear.answer()
        assert answer["type"] == "ResourceExhaustedError"
        assert "app 'dear' has used 10.01 of its budget of 10.00 EUR for " in answer["message"]
        assert "raise budget= of its App, and run or deploy it again" in answer["message"]

    in_world(state, story)


def test_a_spawned_call_past_the_budget_is_refused(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        await dear.spend(11.0)
        call_id = new_id("fc")
        with pytest.raises(Refused, match=r"has used 11\.00 of its budget"):
            await dear.client.request(Spawn(call_id, dear.function_id), inputs(call_id, 0))

    in_world(state, story)


def test_a_call_that_goes_on_gets_no_more_inputs(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        call_id = call(dear.client, dear.function_id)
        await dear.worker.hears(StartContainer)
        await dear.spend(11.0)
        assert world.server.engine.dispatcher.is_open(call_id)
        dear.client.send_entry(inputs(call_id, 1))
        assert (await dear.answer())["type"] == "ResourceExhaustedError"

    in_world(state, story)


def test_what_is_sent_again_after_a_cut_is_not_refused(state: StateFolder) -> None:
    """It may run already."""

    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        await dear.spend(11.0)
        call_id = new_id("fc")
        again = OpenCall(call_id, dear.function_id, resumed=True)
        dear.client.send_entry(encode(again) + inputs(call_id, 0))
        await dear.client.request(CloseCalls([]))
        assert world.server.engine.dispatcher.is_open(call_id)
        assert dear.client.results == []

    in_world(state, story)


def test_a_warning_comes_once_at_80_percent_and_once_at_100(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        dear.client.send(FollowApp(dear.app_id))
        for euros in (7.0, 1.5, 1.0, 1.0, 1.0):
            await dear.spend(euros)
        await dear.client.request(CloseCalls([]))
        payloads = zip(dear.client.heard, dear.client.payloads, strict=True)
        said = [payload.decode() for message, payload in payloads if isinstance(message, Log)]
        assert [line.split(" for ")[0] for line in said] == [
            "app 'dear' has used 8.50 of its budget of 10.00 EUR",
            "app 'dear' has used 10.50 of its budget of 10.00 EUR",
        ]
        assert "when it is used up, new calls are refused until" in said[0]

    in_world(state, story)


def test_a_higher_budget_counts_at_once(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        await dear.spend(11.0)
        await dear.publish(20.0)
        call(dear.client, dear.function_id)
        await dear.worker.hears(StartContainer)
        assert dear.client.results == []

    in_world(state, story)


def test_a_run_that_names_no_budget_leaves_it_as_it_is(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        await dear.publish(None)
        await dear.spend(11.0)
        assert dear.app_id in dear.budgets.over

    in_world(state, story)


def test_the_next_month_begins_with_nothing_spent(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        await dear.spend(11.0)
        now = datetime.now(timezone.utc)
        later = now.replace(year=now.year + 1, day=1)
        dear.budgets._clock = later.timestamp  # pyright: ignore[reportPrivateUsage]
        await dear.budgets.look()
        assert dear.budgets.over == {}

    in_world(state, story)


def test_an_environment_has_a_budget_for_all_its_apps(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world, budget=None)
        changed, _ = await dear.client.request(UpdateEnvironment("main", budget=5.0))
        assert isinstance(changed, EnvironmentInfo)
        assert changed.budget == 5.0
        await dear.spend(6.0)
        other = (await world.app(dear.client))[1]
        call(dear.client, other)
        message = (await dear.answer())["message"]
        assert message.startswith("environment 'main' has used 6.00 of its budget of 5.00 EUR")
        assert "ionian environment update main --budget AMOUNT" in message
        await dear.client.request(UpdateEnvironment("main", no_budget=True))
        assert dear.budgets.over == {}
        with pytest.raises(Refused, match="expected an amount from 0"):
            await dear.client.request(UpdateEnvironment("main", budget=-1.0))

    in_world(state, story)


def test_containers_are_not_kept_without_calls_past_the_budget(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        await dear.publish(10.0, min_containers=1)
        functions = world.server.engine.dispatcher.core.functions
        assert functions[dear.function_id].spec.scaling.min_containers == 1
        await dear.spend(11.0)
        assert functions[dear.function_id].spec.scaling.min_containers == 0
        await dear.publish(11.0, min_containers=1)  # it is used up all the same
        assert functions[dear.function_id].spec.scaling.min_containers == 0
        await dear.publish(20.0, min_containers=1)
        assert functions[dear.function_id].spec.scaling.min_containers == 1

    in_world(state, story)


def test_no_more_containers_are_kept_past_the_budget_and_fewer_may_be(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        await dear.publish(10.0, min_containers=1)
        await dear.spend(11.0)
        for more in ({"min_containers": 2}, {"buffer_containers": 1}):
            with pytest.raises(Refused, match=r"can't be raised now: app 'dear' has used 11\.00") as refused:
                await dear.client.request(UpdateAutoscaler(dear.function_id, **more))
            assert refused.value.type == "ResourceExhaustedError"
        changed, _ = await dear.client.request(UpdateAutoscaler(dear.function_id, max_containers=7))
        assert (changed.scaling.min_containers, changed.scaling.max_containers) == (1, 7)
        scaling = world.server.engine.dispatcher.core.functions[dear.function_id].spec.scaling
        assert (scaling.min_containers, scaling.max_containers) == (0, 7)
        await dear.publish(20.0, min_containers=1)
        scaling = world.server.engine.dispatcher.core.functions[dear.function_id].spec.scaling
        assert scaling.min_containers == 1

    in_world(state, story)


def test_a_variant_that_is_made_past_the_budget_keeps_no_container(state: StateFolder) -> None:
    async def story(world: World) -> None:
        dear = await Budgeted.made(world)
        await dear.publish(10.0, min_containers=1)
        await dear.spend(11.0)
        other = Overrides(scaling=Scaling(min_containers=3))
        made, _ = await dear.client.request(BindFunction(dear.function_id, other))
        functions = world.server.engine.dispatcher.core.functions
        assert functions[made.function_id].spec.scaling.min_containers == 0
        await dear.publish(20.0, min_containers=1)
        assert functions[made.function_id].spec.scaling.min_containers == 3

    in_world(state, story)


def test_a_server_that_is_started_again_knows_what_was_spent(state: StateFolder) -> None:
    async def before(world: World) -> None:
        dear = await Budgeted.made(world, budget=None)
        await dear.client.request(UpdateEnvironment("main", budget=5.0))
        await dear.spend(6.0)

    async def after() -> None:
        server = Server(state)
        await asyncio.to_thread(
            server.store.apps.create, "ap-2", environment="main", name="b", detach=True, client="cl-1"
        )
        await server.start("127.0.0.1", 0)
        try:
            assert "ap-2" in server.budgets.over
        finally:
            await server.stop()

    in_world(state, before)
    asyncio.run(after())


def test_a_sentence_names_the_day_on_which_it_ends() -> None:
    december = month_of(datetime(2026, 12, 31, 23, 59, tzinfo=timezone.utc).timestamp())
    assert "for December 2026: new calls are refused until 1 January (UTC)" in Standing(
        "main", "dear", 1.0, 2.0, "EUR", ""
    ).sentence(december)
