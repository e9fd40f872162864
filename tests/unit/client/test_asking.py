"""Requests of coroutines, passed to another thread's loop and answered by it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from ionian.client import spawns
from ionian.client.asking import Asking
from ionian.exception import ConflictError, NotFoundError
from ionian.protocol.batch import BLOB, Batch
from ionian.protocol.calls import FailedSpawn, Spawn, SpawnEach, SpawnedEach
from ionian.protocol.ids import new_id
from ionian.protocol.messages import Done
from ionian.protocol.wire import INPUTS


class Thread:
    """A loop in a thread of its own that answers each request with its double."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.asking = Asking(self._request, self._wake)
        self.held: list[asyncio.Future[tuple[Any, bytes]]] = []
        self.spawned: list[tuple[Spawn | SpawnEach, bytes]] = []
        self.bad: set[str] = set()
        self.refuses = False
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.thread.start()

    def _wake(self) -> None:
        self.loop.call_soon_threadsafe(self.asking.begin)

    def _request(self, message: Any, payload: bytes) -> asyncio.Future[tuple[Any, bytes]]:
        future: asyncio.Future[tuple[Any, bytes]] = self.loop.create_future()
        if isinstance(message, (Spawn, SpawnEach)):
            self.spawned.append((message, payload))
            if self.refuses:
                future.set_exception(NotFoundError("there is none"))
            elif isinstance(message, SpawnEach):
                bad = [FailedSpawn(one, "ConflictError", one) for one in message.call_ids if one in self.bad]
                future.set_result((SpawnedEach(bad), b""))
            else:
                future.set_result((Done(), b""))
        elif message == "hold":
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


# --- spawned calls


def spawn(payload: bytes = b"x", function: str = "fu-1", **other: Any) -> tuple[Spawn, bytes]:
    call_id = new_id("fc")
    return Spawn(call_id, function, **other), Batch(call_id, [0], [len(payload)], payload).pack(INPUTS)


async def ask(thread: Thread, *requests: tuple[Any, bytes]) -> list[Any]:
    """All in one turn of the loop."""
    return await asyncio.gather(*(thread.asking.ask(*one) for one in requests), return_exceptions=True)


def test_calls_that_are_spawned_in_one_turn_go_together_by_what_they_have_in_common(thread: Thread):
    some = [spawn(b"a"), spawn(b"", "fu-2"), spawn(b"bc"), spawn(b"d", "fu-2"), spawn(b"e", parent="in-1")]
    assert asyncio.run(ask(thread, *some)) == [(Done(), b"")] * 5
    ids = [message.call_id for message, _ in some]
    assert thread.spawned[:2] == [
        (SpawnEach("fu-1", [ids[0], ids[2]], [1, 2]), b"abc"),
        (SpawnEach("fu-2", [ids[1], ids[3]], [0, 1]), b"d"),
    ]
    assert thread.spawned[2:] == [some[4]]


def test_what_is_no_call_of_one_small_input_goes_alone(thread: Thread):
    call_id = new_id("fc")
    others = [
        spawn(b"x" * spawns.SMALL),
        spawn(last=False),
        (Spawn(call_id, "fu-1"), Batch(call_id, [0, 1], [1, 1], b"xy").pack(INPUTS)),
        (Spawn(call_id, "fu-1"), Batch(call_id, [7], [1], b"x").pack(INPUTS)),
        (Spawn(call_id, "fu-1"), Batch(call_id, [0], [1], b"x", code=[BLOB]).pack(INPUTS)),
        (Spawn(call_id, "fu-1"), Batch(call_id, [], [], b"").pack(INPUTS)),
    ]
    asyncio.run(ask(thread, *others, spawn()))
    assert thread.spawned[:6] == others


def test_of_calls_that_went_together_each_hears_its_own_failure(thread: Thread):
    some = [spawn(), spawn(), spawn()]
    thread.bad = {some[1][0].call_id}
    first, second, third = asyncio.run(ask(thread, *some))
    assert first == third == (Done(), b"")
    assert isinstance(second, ConflictError)


def test_a_failure_of_all_of_them_is_raised_in_each(thread: Thread):
    thread.refuses = True
    found = asyncio.run(ask(thread, spawn(), spawn(), spawn()))
    assert [str(one) for one in found] == ["there is none"] * 3
    assert len({id(one) for one in found}) == 3


def test_very_many_go_in_several_messages(thread: Thread, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(spawns, "MOST", 4)
    assert len(asyncio.run(ask(thread, *(spawn() for _ in range(9))))) == 9
    assert [
        len(message.call_ids) if isinstance(message, SpawnEach) else 1 for message, _ in thread.spawned
    ] == [4, 4, 1]
