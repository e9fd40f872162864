"""Containers that run several inputs at once, with a real process at the other end."""

from __future__ import annotations

import signal

import pytest
from tests.unit.worker.feeding import LARGE, held, play, running

from ionian.protocol.batch import DONE, ERROR, OK, YIELD
from ionian.protocol.ids import input_id, new_id

HOLDING = ["hold", "hold_async"]


@pytest.mark.parametrize("function", HOLDING)
def test_as_many_inputs_run_at_once_as_there_are_slots_and_no_more_are_claimed(function: str) -> None:
    async def scene() -> None:
        async with running(function, most=3) as container:
            call = new_id("fc")
            container.give(call, dict.fromkeys(range(5), "a"))
            await container.has_begun(3)
            assert held(container.feed.take_back()) == [(call, [3]), (call, [4])]
            assert sorted(run[3] for run in container.feed.runs()) == [0, 1, 2]
            container.open_gate(3)
            rows = await container.results(3)
            assert sorted(row[1] for row in rows) == [0, 1, 2]
            assert container.feed.held() == []

    play(scene)


@pytest.mark.parametrize("function", ["echo", "later"])
def test_many_inputs_pass_and_each_has_its_own_result(function: str) -> None:
    async def scene() -> None:
        async with running(function, most=7) as container:
            call, other = new_id("fc"), new_id("fc")
            container.give(call, {n: f"value {n}" for n in range(300)}, attempt=3)
            container.give(other, dict.fromkeys(range(3), "x" * LARGE))
            container.feed.end()
            rows = await container.results(303)
            assert sorted(row for row in rows if row[0] == call) == [
                (call, n, 3, OK, f"value {n}") for n in range(300)
            ]
            assert [row[4] for row in rows if row[0] == other] == ["x" * LARGE] * 3
            assert await container.process.wait() == 0

    play(scene)


@pytest.mark.parametrize("size", [1, 5_000, 20_000, LARGE])
def test_results_of_many_calls_that_end_together_are_each_their_own(size: int) -> None:
    async def scene() -> None:
        async with running("later", most=16) as container:
            calls = {new_id("fc"): f"{n} " + "x" * size for n in range(48)}
            for call, value in calls.items():
                container.give(call, {7: value}, attempt=2)
            rows = await container.results(len(calls))
            assert sorted(rows) == sorted((call, 7, 2, OK, value) for call, value in calls.items())
            assert container.feed.held() == []

    play(scene)


@pytest.mark.parametrize("function", ["letters", "letters_async"])
def test_generators_run_beside_each_other(function: str) -> None:
    async def scene() -> None:
        async with running(function, most=4) as container:
            call = new_id("fc")
            container.give(call, {0: 2, 1: 4, 2: 5})
            rows = await container.results(14)
            assert sorted(row[1] for row in rows if row[3] == DONE) == [0, 1, 2]
            for index, count in ((0, 2), (1, 4), (2, 5)):
                items = [row[4] for row in rows if row[1] == index and row[3] == YIELD]
                assert items == list("abcde"[:count])

    play(scene)


@pytest.mark.parametrize("function", ["mine", "mine_async"])
def test_each_input_knows_its_id_while_others_run(function: str) -> None:
    async def scene() -> None:
        async with running(function, most=3) as container:
            call = new_id("fc")
            container.give(call, dict.fromkeys(range(3), "a"))
            await container.has_begun(3)
            container.open_gate(3)
            for row in await container.results(3):
                assert set(row[4]) == {input_id(call, row[1])}

    play(scene)


def test_what_was_running_when_a_container_died_is_told_apart_from_what_never_ran() -> None:
    async def scene() -> None:
        async with running("hold", most=2) as container:
            call = new_id("fc")
            container.give(call, {4: "a"})
            await container.has_begun()
            container.give(call, {2: "b", 9: "c"})
            await container.has_begun()
            container.process.kill()
            await container.process.wait()
            assert held(container.feed.take_back()) == [(call, [9])]
            running_ones, never = container.feed.lost()
            assert held(running_ones) == [(call, [4]), (call, [2])]  # the oldest first
            assert never == []

    play(scene)


def test_some_inputs_are_taken_back_and_the_others_still_run() -> None:
    async def scene() -> None:
        async with running("hold") as container:
            call, other = new_id("fc"), new_id("fc")
            container.give(call, {0: "a"})
            await container.has_begun()
            container.give(call, {1: "b", 2: "c", 3: "d"})
            container.give(other, {1: "x" * LARGE})
            container.give(call, {4: "y" * LARGE, 5: "z"})
            assert held(container.feed.take_back_some(call, {2, 4, 77})) == [(call, [2]), (call, [4])]
            container.open_gate(5)
            rows = await container.results(5)
            assert [(row[0], row[1], row[4]) for row in rows] == [
                (call, 0, "a"),
                (call, 1, "b"),
                (call, 3, "d"),
                (other, 1, "x" * LARGE),
                (call, 5, "z"),
            ]
            container.feed.end()
            assert await container.process.wait() == 0

    play(scene)


def test_when_the_feed_has_ended_all_is_taken_back_as_none_can_be_given_again() -> None:
    async def scene() -> None:
        async with running("hold") as container:
            call = new_id("fc")
            container.give(call, {0: "a"})
            await container.has_begun()
            container.give(call, {1: "b", 2: "c"})
            container.feed.end()
            assert held(container.feed.take_back_some(call, {2})) == [(call, [1, 2])]
            container.open_gate()
            assert await container.process.wait() == 0

    play(scene)


@pytest.mark.parametrize("most", [1, 3])
@pytest.mark.parametrize("function", ["cleaning", "cleaning_async"])
def test_a_cancelled_input_is_interrupted_cleans_up_and_the_next_one_runs(function: str, most: int) -> None:
    if function == "cleaning" and most > 1:
        function = "cleaning_long"  # a thread is interrupted between two steps of Python only

    async def scene() -> None:
        async with running(function, most=most) as container:
            call = new_id("fc")
            container.give(call, {0: "a"})
            await container.has_begun()
            if most > 1:
                container.give(call, {1: "b"})
                await container.has_begun()
            await container.cancel(call, 0)
            signs = [await container.sign() for _ in range(1 if function == "cleaning_long" else 2)]
            assert signs == ["i", "f"][-len(signs) :]
            rows = await container.results(1)
            assert rows[0][1:4] == (0, 1, ERROR)
            assert str(rows[0][4]).startswith("InputCancellation") or "InputCancellation" in repr(rows[0][4])
            if function != "cleaning_long":
                container.give(call, {2: "c"})
                container.open_gate(2)
                rows = await container.results(1 + most // 2 + 1)
                assert {row[4] for row in rows[1:]} == {"b", "c"} if most > 1 else {"c"}

    play(scene)


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("function", ["cleaning_items", "cleaning_items_async"])
def test_a_cancelled_generator_cleans_up(function: str, most: int) -> None:
    if function == "cleaning_items" and most > 1:
        pytest.skip("a thread in a blocking call can't be interrupted")

    async def scene() -> None:
        async with running(function, most=most) as container:
            call = new_id("fc")
            container.give(call, {0: "a"})
            await container.has_begun()
            await container.cancel(call, 0)
            assert [await container.sign(), await container.sign()] == ["i", "f"]
            rows = await container.results(2)
            assert [row[3] for row in rows] == [YIELD, ERROR]

    play(scene)


def test_an_input_that_swallows_its_cancellation_gives_its_result() -> None:
    async def scene() -> None:
        async with running("stubborn") as container:
            call = new_id("fc")
            container.give(call, {0: "a"})
            await container.has_begun()
            await container.cancel(call, 0)
            assert (await container.results(1))[0][3:] == (OK, "a result")

    play(scene)


def test_a_signal_without_a_request_interrupts_nothing() -> None:
    async def scene() -> None:
        async with running("hold") as container:
            container.give(new_id("fc"), {0: "a", 1: "b"})
            await container.has_begun()
            for _ in range(20):
                container.process.send_signal(signal.SIGUSR1)
            container.open_gate(2)
            assert [row[4] for row in await container.results(2)] == ["a", "b"]

    play(scene)


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("function", ["hold", "hold_async", "cleaning_async"])
def test_a_stop_ends_the_container_without_a_result_of_what_it_interrupts(function: str, most: int) -> None:
    async def scene() -> None:
        async with running(function, most=most) as container:
            call = new_id("fc")
            container.give(call, {0: "a"})
            await container.has_begun()
            container.process.send_signal(signal.SIGTERM)
            assert await container.process.wait() == 0
            container.feed.drain()
            assert container.rows == []
            assert held(container.feed.lost()[0]) == [(call, [0])]

    play(scene)


def test_a_stop_ends_a_container_that_waits() -> None:
    async def scene() -> None:
        for most, size in ((1, 0), (3, 0), (1, 4), (2, 4)):
            async with running("echo", most=most, size=size) as container:
                container.give(new_id("fc"), {0: "a"})
                await container.results(1)
                container.process.send_signal(signal.SIGTERM)
                assert await container.process.wait() == 0

    play(scene)


@pytest.mark.parametrize("function", ["hold", "cleaning_async"])
def test_a_stop_ends_what_still_runs_after_the_end_of_the_feed(function: str) -> None:
    async def scene() -> None:
        async with running(function, most=2) as container:
            container.give(new_id("fc"), {0: "a"})
            await container.has_begun()
            container.feed.end()
            container.process.send_signal(signal.SIGTERM)
            assert await container.process.wait() == 0
            if function == "cleaning_async":
                assert [await container.sign(), await container.sign()] == ["i", "f"]
            container.feed.drain()
            assert container.rows == []

    play(scene)


@pytest.mark.parametrize(
    ("function", "most"), [("listed", 1), ("listed", 2), ("listed_async", 1), ("listed_async", 2)]
)
def test_a_stop_ends_batches_after_the_end_of_the_feed(function: str, most: int) -> None:
    async def scene() -> None:
        async with running(function, most=most, size=1) as container:
            container.give(new_id("fc"), {0: "hold"})
            await container.has_begun()
            container.feed.end()
            container.process.send_signal(signal.SIGTERM)
            assert await container.process.wait() == 0
            if function == "listed_async":
                assert [await container.sign(), await container.sign()] == ["i", "f"]
            container.feed.drain()
            assert container.rows == []

    play(scene)
