"""Requests of coroutines, passed to another thread's loop and answered by it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ionian.client.asking import Asking
from ionian.exception import NotFoundError


class Thread:
    """A loop in a thread of its own that answers each request with its double."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.asking = Asking(self._request, self._wake)
        self.held: list[asyncio.Future[tuple[Any, bytes]]] = []
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def _wake(self) -> None:
        self.loop.call_soon_threadsafe(self.asking.begin)

    def _request(self, message: Any, payload: bytes) -> asyncio.Future[tuple[Any, bytes]]:
        future: asyncio.Future[tuple[Any, bytes]] = self.loop.create_future()
        if message == "hold":
            self.held.append(future)
        elif message == "fail":
            future.set_exception(NotFoundError("there is none"))
        else:
            future.set_result((message * 2, payload))
        return future

    def end(self) -> None:
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()


@pytest.fixture
def thread() -> Iterator[Thread]:
    made = Thread()
    yield made
    made.end()


def test_each_of_many_gets_its_own_answer(thread: Thread):
    async def all_of_them() -> list[tuple[Any, bytes]]:
        return await asyncio.gather(*[thread.asking.ask(number, b"x") for number in range(2000)])

    assert asyncio.run(all_of_them()) == [(2 * number, b"x") for number in range(2000)]


def test_a_failure_is_raised_where_it_was_asked(thread: Thread):
    with pytest.raises(NotFoundError, match="there is none"):
        asyncio.run(thread.asking.ask("fail", b""))


def test_loops_of_several_threads_ask_at_the_same_time(thread: Thread):
    found: list[list[tuple[Any, bytes]]] = []

    async def some() -> list[tuple[Any, bytes]]:
        return [await thread.asking.ask(number, b"") for number in range(100)]

    threads = [threading.Thread(target=lambda: found.append(asyncio.run(some()))) for _ in range(4)]
    for one in threads:
        one.start()
    for one in threads:
        one.join()
    assert found == [[(2 * number, b"") for number in range(100)]] * 4


def test_an_answer_that_nobody_waits_for_any_more_is_dropped(thread: Thread):
    async def give_up() -> tuple[Any, bytes]:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(thread.asking.ask("hold", b""), 0.01)
        thread.loop.call_soon_threadsafe(thread.held[0].set_result, (1, b""))
        return await thread.asking.ask(3, b"")

    assert asyncio.run(give_up()) == (6, b"")


def test_an_answer_for_a_loop_that_is_closed_hurts_nobody(thread: Thread):
    async def leave() -> None:
        asking = asyncio.ensure_future(thread.asking.ask("hold", b""))
        while not thread.held:
            await asyncio.sleep(0)
        asking.cancel()

    asyncio.run(leave())
    thread.loop.call_soon_threadsafe(thread.held[0].set_result, (1, b""))
    assert asyncio.run(thread.asking.ask(4, b"")) == (8, b"")
