"""Questions to the store that are read together."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence

import pytest

from ionian.server.durable import together
from ionian.server.durable.together import Together


class Reads:
    """What was asked at a time; the first look waits for `go`."""

    def __init__(self, most: int = 1000) -> None:
        self.looks: list[list[int]] = []
        self.began = threading.Event()
        self.go = threading.Event()
        self.most = most

    def __call__(self, questions: Sequence[int]) -> list[int]:
        self.looks.append(list(questions))
        self.began.set()
        assert self.go.wait(10)
        if -1 in questions:
            raise ValueError("a bad question")
        return [2 * question for question in questions[: self.most]]


def test_what_is_asked_in_one_turn_is_read_together_and_what_comes_meanwhile_by_the_next_look():
    async def scene() -> None:
        reads = Reads()
        asking = Together(reads)
        first = asyncio.gather(*(asking.ask(n) for n in range(5)))
        await asyncio.to_thread(reads.began.wait, 10)
        then = asyncio.gather(*(asking.ask(n) for n in range(5, 8)))
        await asyncio.sleep(0)
        reads.go.set()
        assert await first == [0, 2, 4, 6, 8]
        assert await then == [10, 12, 14]
        assert reads.looks == [[0, 1, 2, 3, 4], [5, 6, 7]]

    asyncio.run(scene())


def test_what_a_look_left_is_asked_again_before_others(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(together, "MOST", 4)

    async def scene() -> None:
        reads = Reads(most=1)
        reads.go.set()
        asking = Together(reads)
        assert await asyncio.gather(*(asking.ask(n) for n in range(6))) == [0, 2, 4, 6, 8, 10]
        assert reads.looks == [[0, 1, 2, 3], [1, 2, 3, 4], [2, 3, 4, 5], [3, 4, 5], [4, 5], [5]]

    asyncio.run(scene())


def test_a_failed_look_fails_for_those_in_it_and_the_next_one_is_fine():
    async def scene() -> None:
        reads = Reads()
        reads.go.set()
        asking = Together(reads)
        told = await asyncio.gather(asking.ask(-1), asking.ask(1), return_exceptions=True)
        assert [type(one) for one in told] == [ValueError, ValueError]
        assert await asking.ask(4) == 8

    asyncio.run(scene())


def test_who_waits_no_longer_is_not_asked_for():
    async def scene() -> None:
        reads = Reads()
        asking = Together(reads)
        first = asyncio.ensure_future(asking.ask(1))
        await asyncio.to_thread(reads.began.wait, 10)
        gone = asyncio.ensure_future(asking.ask(2))
        await asyncio.sleep(0)
        gone.cancel()
        await asyncio.sleep(0)
        reads.go.set()
        assert await first == 2
        assert await asking.ask(3) == 6
        assert reads.looks == [[1], [3]]

    asyncio.run(scene())
