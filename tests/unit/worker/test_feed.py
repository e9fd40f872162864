"""The worker's feed of a container, with a real process at the other end that runs the inputs."""

from __future__ import annotations

import asyncio
import os
import pickle
import select

import pytest
from tests.unit.worker.feeding import LARGE, held, play, running

from ionian.protocol.batch import DONE, ERROR, OK, YIELD
from ionian.protocol.ids import new_id
from ionian.serialization import dumps
from ionian.worker.feed import Feed


def test_inputs_come_back_as_results_with_their_attempts():
    async def scene() -> None:
        async with running("echo") as container:
            call = new_id("fc")
            container.give(call, {number: f"value {number}" for number in range(100)}, attempt=3)
            rows = await container.results(100)
            assert rows == [(call, number, 3, OK, f"value {number}") for number in range(100)]
            assert container.feed.held() == []

    play(scene)


def test_what_fails_comes_back_as_its_exception_and_the_next_input_runs():
    async def scene() -> None:
        async with running("echo") as container:
            container.give(new_id("fc"), {0: "bad", 1: "lambda", 2: "exit", 3: "good"})
            rows = await container.results(4)
            assert [row[3] for row in rows] == [ERROR, ERROR, ERROR, OK]
            assert repr(rows[0][4]) == "ValueError('a bad one')"
            assert "generator" in str(rows[1][4])
            assert "SystemExit: 3" in repr(rows[2][4])  # it ends the input, not the container

    play(scene)


@pytest.mark.parametrize("large", [65_000, LARGE, 5 << 20])
def test_payloads_larger_than_a_packet_pass_both_ways(large: int):
    async def scene() -> None:
        async with running("echo") as container:
            container.give(new_id("fc"), {0: "x" * large, 1: large, 2: "small"})
            rows = await container.results(3)
            assert [row[4] for row in rows] == ["x" * large, bytes(large), "small"]

    play(scene)


def test_many_large_inputs_wait_for_room_in_the_socket():
    async def scene() -> None:
        async with running("echo") as container:
            for number in range(40):
                container.give(new_id("fc"), {number: "x" * 60_000})
            rows = await container.results(40)
            assert [row[1] for row in rows] == list(range(40))

    play(scene)


def test_coroutines_run_to_their_end():
    async def scene() -> None:
        async with running("later") as container:
            container.give(new_id("fc"), {0: "a", 1: "b"})
            assert [row[4] for row in await container.results(2)] == ["a", "b"]

    play(scene)


@pytest.mark.parametrize("function", ["letters", "letters_async"])
def test_a_generator_gives_its_items_and_then_its_end(function: str):
    async def scene() -> None:
        async with running(function) as container:
            container.give(new_id("fc"), {7: 3})
            rows = await container.results(4)
            assert [(row[1], row[3], row[4]) for row in rows] == [
                (7, YIELD, "a"),
                (7, YIELD, "b"),
                (7, YIELD, "c"),
                (7, DONE, None),
            ]
            assert container.feed.held() == []

    play(scene)


def test_a_generator_that_fails_gives_its_items_and_then_the_exception():
    async def scene() -> None:
        async with running("letters") as container:
            container.give(new_id("fc"), {0: 9})
            rows = await container.results(6)
            assert [row[3] for row in rows] == [YIELD] * 5 + [ERROR]

    play(scene)


def test_an_input_runs_or_is_taken_back_and_never_both():
    async def scene() -> None:
        async with running("hold") as container:
            first, second = new_id("fc"), new_id("fc")
            container.give(first, {0: "a"})
            await container.has_begun()
            for number in range(1, 4):
                container.give(first, {number: "b"})
            container.give(second, {9: "x" * LARGE})
            assert held(container.feed.take_back()) == [
                (first, [1]),
                (first, [2]),
                (first, [3]),
                (second, [9]),
            ]
            assert held(container.feed.held()) == [(first, [0])]
            container.open_gate()
            await container.results(1)
            container.feed.end()
            assert await container.process.wait() == 0
            assert [row[1] for row in container.rows] == [0]

    play(scene)


def test_what_was_taken_back_can_be_given_again():
    async def scene() -> None:
        async with running("hold") as container:
            call = new_id("fc")
            container.give(call, {0: "a"})
            await container.has_begun()
            container.give(call, {1: "b"})
            container.feed.take_back()
            container.give(call, {1: "b"}, attempt=2)
            container.open_gate(2)
            rows = await container.results(2)
            assert [(row[1], row[2]) for row in rows] == [(0, 1), (1, 2)]

    play(scene)


def test_what_runs_is_first_among_what_is_held():
    async def scene() -> None:
        async with running("hold") as container:
            first, second = new_id("fc"), new_id("fc")
            container.give(first, {5: "a"})
            await container.has_begun()
            container.give(second, {1: "c", 2: "d"})
            assert container.feed.running_since_ns() > 0
            container.open_gate()
            await container.has_begun()
            await container.results(1)
            container.open_gate()
            await container.has_begun()
            assert held(container.feed.held())[0][1][0] == 2

    play(scene)


def test_a_container_that_dies_leaves_what_it_held():
    async def scene() -> None:
        async with running("hold") as container:
            call = new_id("fc")
            container.give(call, {0: "a", 1: "b"})
            await container.has_begun()
            container.give(call, {2: "c"})
            container.process.kill()
            await container.process.wait()
            assert held(container.feed.take_back()) == [(call, [2])]
            assert held(container.feed.held()) == [(call, [0, 1])]

    play(scene)


def test_no_result_of_a_container_that_has_ended_is_overlooked():
    async def scene() -> None:
        async with running("letters_async") as container:
            process = os.pidfd_open(container.process.pid)
            container.give(new_id("fc"), {0: 100})
            container.feed.end()
            select.select([process], [], [])  # blocks our loop, too: nothing is read meanwhile
            os.close(process)
            container.feed.drain()
            assert [row[3] for row in container.rows] == [YIELD] * 100 + [DONE]
            assert container.feed.held() == []

    play(scene)


def test_the_end_of_the_feed_ends_the_container_after_what_it_has():
    async def scene() -> None:
        async with running("echo") as container:
            container.give(new_id("fc"), {number: number for number in range(200)})
            container.feed.end()
            rows = await container.results(200)
            assert [len(row[4]) for row in rows] == list(range(200))
            assert await container.process.wait() == 0

    play(scene)


def test_results_are_plain_pickles_of_protocol_4():
    assert pickle.loads(dumps({"a": (1, 2)})) == {"a": (1, 2)}
    assert dumps(1)[:2] == b"\x80\x04"


def test_what_waits_behind_a_slow_input_in_its_packet_is_given_back_and_not_run():
    async def scene() -> None:
        async with running("hold") as container:
            call = new_id("fc")
            container.give(call, {0: "a", 1: "b", 2: "c"}, attempt=2)
            await container.has_begun()
            assert container.feed.take_back() == []
            container.ask_back()
            assert await container.gave_back() == [(call, [1, 2])]
            assert held(container.feed.held()) == [(call, [0])]
            container.give(call, {3: "d"}, attempt=2)
            container.open_gate(2)
            rows = await container.results(2)
            assert [row[1:] for row in rows] == [(0, 2, OK, "a"), (3, 2, OK, "d")]

    play(scene)


def test_nothing_is_asked_back_where_nothing_waits_behind_the_input_that_runs():
    async def scene() -> None:
        async with running("hold") as container:
            container.give(new_id("fc"), {0: "a"})
            await container.has_begun()
            assert not container.feed.wants_back()
            container.open_gate()
            await container.results(1)
            assert not container.feed.wants_back()

    play(scene)


def test_what_was_asked_back_too_late_is_run_and_the_question_is_forgotten():
    async def scene() -> None:
        async with running("hold") as container:
            call = new_id("fc")
            container.give(call, {0: "a", 1: "b"})
            await container.has_begun()
            assert container.feed.wants_back()  # and no signal: it is not heard
            container.open_gate()
            await container.has_begun()
            assert not container.feed.waits_for_back()
            container.open_gate()
            assert [row[4] for row in await container.results(2)] == ["a", "b"]
            assert container.back == []

    play(scene)


def test_user_code_can_not_make_the_shared_memory_smaller():
    async def main() -> None:
        feed = Feed(lambda batch: None)
        for size in (0, 1 << 30):
            with pytest.raises(PermissionError):
                os.ftruncate(feed.cell_fd, size)
        assert feed.running_since_ns() == 0
        feed.close()

    asyncio.run(main())
