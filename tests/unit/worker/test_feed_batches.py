"""Containers of batched functions, with a real process at the other end."""

from __future__ import annotations

import pytest
from tests.unit.worker.feeding import play, running

from ionian.protocol.batch import ERROR, OK
from ionian.protocol.ids import new_id

LONG = 60_000
"""Milliseconds: the batch is full before."""


@pytest.mark.parametrize("most", [1, 2])
@pytest.mark.parametrize("function", ["listed", "listed_async"])
def test_a_full_batch_runs_at_once_and_each_input_has_its_own_result(function: str, most: int) -> None:
    async def scene() -> None:
        async with running(function, most=most, size=4, wait_ms=LONG) as container:
            call, other = new_id("fc"), new_id("fc")
            container.give(call, {0: "a", 1: "b"})
            container.give(other, {7: "c", 8: "d"})
            rows = await container.results(4)
            assert {(row[0], row[1], row[4][:2]) for row in rows} == {
                (call, 0, ("a", 4)),
                (call, 1, ("b", 4)),
                (other, 7, ("c", 4)),
                (other, 8, ("d", 4)),
            }
            if function == "listed":
                assert {row[4][2] for row in rows} == {most == 1}  # the main thread, where one runs at a time
            assert container.feed.held() == []

    play(scene)


@pytest.mark.parametrize("function", ["listed", "listed_async"])
def test_what_is_there_after_the_wait_is_a_batch(function: str) -> None:
    async def scene() -> None:
        async with running(function, size=100, wait_ms=50) as container:
            container.give(new_id("fc"), {0: "a", 1: "b", 2: "c"})
            assert {row[4][1] for row in await container.results(3)} == {3}
            container.give(new_id("fc"), {0: "a"})
            assert (await container.results(4))[3][4][1] == 1

    play(scene)


@pytest.mark.parametrize("function", ["listed", "listed_async"])
def test_the_end_of_the_feed_ends_the_container_after_the_last_batch(function: str) -> None:
    async def scene() -> None:
        async with running(function, most=2, size=10, wait_ms=LONG) as container:
            container.give(new_id("fc"), dict.fromkeys(range(25), "a"))
            container.feed.end()
            rows = await container.results(25)
            assert sorted(row[4][1] for row in rows) == [5] * 5 + [10] * 20
            assert await container.process.wait() == 0

    play(scene)


def test_an_exception_is_that_of_each_input_of_the_batch_and_of_no_other() -> None:
    async def scene() -> None:
        async with running("listed", size=2, wait_ms=LONG) as container:
            container.give(new_id("fc"), {0: "a", 1: "bad", 2: "c", 3: "d"})
            rows = await container.results(4)
            assert [repr(row[4]) for row in rows[:2]] == ["ValueError('a bad one')"] * 2
            assert [row[3] for row in rows[2:]] == [OK, OK]

    play(scene)


@pytest.mark.parametrize(
    ("value", "words"),
    [
        (
            "short",
            "must return a list with one result for each input: it got 2 inputs, and returned 1 results",
        ),
        (
            "text",
            "must return a list with one result for each of its 2 inputs, and returned a value of type str",
        ),
    ],
)
def test_what_is_no_list_of_as_many_results_fails_each_input(value: str, words: str) -> None:
    async def scene() -> None:
        async with running("listed", size=2, wait_ms=LONG) as container:
            container.give(new_id("fc"), {0: "a", 1: value})
            for row in await container.results(2):
                assert row[3] == ERROR
                assert type(row[4]).__name__ == "InvalidError"
                assert words in str(row[4])
                assert "listed" in str(row[4])

    play(scene)


def test_a_tuple_is_as_good_as_a_list() -> None:
    async def scene() -> None:
        async with running("listed", size=2, wait_ms=LONG) as container:
            container.give(new_id("fc"), {0: "a", 1: "tuple"})
            assert [row[4] for row in await container.results(2)] == ["a", "tuple"]

    play(scene)


def test_a_result_that_cannot_be_pickled_fails_its_input_alone() -> None:
    async def scene() -> None:
        async with running("unpicklable", size=2, wait_ms=LONG) as container:
            container.give(new_id("fc"), {0: "a", 1: "lambda"})
            rows = await container.results(2)
            assert [row[3] for row in rows] == [OK, ERROR]
            assert "can't be pickled" in str(rows[1][4])

    play(scene)


def test_an_input_whose_arguments_do_not_fit_fails_alone() -> None:
    async def scene() -> None:
        async with running("added", size=2, wait_ms=200) as container:
            call = new_id("fc")
            container.give_calls(call, {0: ((1, 2), {}), 1: ((3,), {"b": 4})})
            assert [row[4] for row in await container.results(2)] == [3, 7]
            container.give_calls(call, {2: ((1, 2), {}), 3: ((3,), {})})
            rows = sorted((await container.results(4))[2:])
            assert rows[0][3:] == (OK, 3)
            assert rows[1][3] == ERROR
            assert "can't take these arguments: missing a required argument: 'b'" in str(rows[1][4])

    play(scene)


@pytest.mark.parametrize("function", ["listed", "listed_async"])
def test_a_batch_is_interrupted_when_all_of_its_inputs_are_cancelled(function: str) -> None:
    async def scene() -> None:
        async with running(function, size=2, wait_ms=LONG) as container:
            call = new_id("fc")
            container.give(call, {0: "hold", 1: "a"})
            await container.has_begun()
            container.cancellations.add(call, [0], float("inf"))
            container.cancellations.check(container.feed, 0)
            await container.cancel(call, 0, 1)
            rows = await container.results(2)
            assert [row[3] for row in rows] == [ERROR, ERROR]
            assert "InputCancellation" in repr(rows[0][4])

    play(scene)


def test_a_batch_goes_on_when_one_of_its_inputs_is_cancelled() -> None:
    async def scene() -> None:
        async with running("listed", size=2, wait_ms=LONG) as container:
            call = new_id("fc")
            container.give(call, {0: "hold", 1: "a"})
            await container.has_begun()
            container.cancellations.add(call, [1], -1.0)
            while container.cancellations.check(container.feed, 0) is not None:
                pass  # its grace is over, but as soon as the container has said that others share the batch
            container.open_gate()
            assert [row[3] for row in await container.results(2)] == [OK, OK]

    play(scene)
