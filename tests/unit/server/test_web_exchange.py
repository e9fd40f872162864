"""One web request between its client and its container: parts and events, both bounded."""

from __future__ import annotations

import asyncio
from itertools import count
from typing import Any

import pytest

from ionian.protocol.batch import DONE, ERROR, LOST, YIELD, Batch
from ionian.protocol.web import WINDOW, Part, pack_event
from ionian.server.web.exchange import MOST_BYTES, WAITING_BYTES, Ended, Exchange

CALL = "fc-01ARZ3NDEKTSV4RRFFQ69G5FAV"


_numbers = count()


def batch(code: int, payload: bytes = b"") -> Batch:
    """One row of results; events are numbered in their order."""
    return Batch(CALL, [0], [len(payload)], payload, code=[code], attempt=[0], micros=[next(_numbers)])


def exchange() -> Exchange:
    return Exchange(CALL, "fu-1")


async def settle() -> None:
    """Lets tasks that can go on do so."""
    for _ in range(5):
        await asyncio.sleep(0)


def test_events_come_in_their_order_and_then_the_end() -> None:
    async def run() -> list[Any]:
        one = exchange()
        one.received(batch(YIELD, pack_event({"t": "start", "s": 200, "h": [], "m": True}, b"first")))
        one.received(batch(YIELD, pack_event({"t": "body", "m": False}, b"second")))
        one.received(batch(DONE))
        return [await one.event() for _ in range(3)]

    first, second, end = asyncio.run(run())
    assert (bytes(first[1]), bytes(second[1]), end) == (b"first", b"second", Ended())


def test_an_event_that_comes_again_is_passed_over() -> None:
    """A worker whose stream was cut says again what was not confirmed."""

    async def run() -> list[Any]:
        one = exchange()
        again = batch(YIELD, pack_event({"t": "body", "m": True}, b"first"))
        for each in (again, again, batch(YIELD, pack_event({"t": "body", "m": True}, b"second")), again):
            one.received(each)
        one.received(batch(DONE))
        return [await one.event() for _ in range(3)]

    first, second, end = asyncio.run(run())
    assert (bytes(first[1]), bytes(second[1]), end) == (b"first", b"second", Ended())


@pytest.mark.parametrize(
    ("code", "payload", "status"),
    [
        (ERROR, b"pickled", 500),
        (LOST, b'{"type": "FunctionTimeoutError", "message": "it took long"}', 504),
        (LOST, b'{"type": "InternalFailure", "message": "its container died"}', 502),
        (LOST, b"nonsense", 502),
        (YIELD, b"\xff\xff\xff\xff", 502),
        (YIELD, b"", 502),
        (YIELD, b"\x02\x00\x00\x00[]", 502),
    ],
)
def test_what_is_no_answer_is_an_end_with_a_status(code: int, payload: bytes, status: int) -> None:
    async def run() -> Any:
        one = exchange()
        one.received(batch(code, payload))
        return await one.event()

    assert asyncio.run(run()).status == status


def test_a_client_waits_while_its_container_takes_nothing() -> None:
    async def run() -> None:
        one = exchange()
        await one.put(Part("body", True), b"x" * WAITING_BYTES)
        putting = asyncio.ensure_future(one.put(Part("body"), b"last"))
        await settle()
        assert not putting.done()
        assert (await one.take(1))[1] == b"x" * WAITING_BYTES
        await putting
        assert await one.take(2) == (Part("body"), b"last")

    asyncio.run(run())


def test_a_part_that_is_asked_for_again_is_the_same_and_none_is_left_out() -> None:
    """A worker's stream that comes back has its containers ask again; the answers to both may arrive, or one, or none."""

    async def run() -> None:
        one = exchange()
        asked = [asyncio.ensure_future(one.take(1)) for _ in range(2)]
        await settle()
        await one.put(Part("text"), b"first")
        await one.put(Part("text"), b"second")
        assert [payload for _, payload in await asyncio.gather(*asked)] == [b"first", b"first"]
        assert [(await one.take(number))[1] for number in (1, 2, 2)] == [b"first", b"second", b"second"]
        last = asyncio.ensure_future(one.take(3))
        await settle()
        one.over()
        assert (await last)[0].kind == (await one.take(3))[0].kind == "disconnect"

    asyncio.run(run())


def test_a_container_waits_while_its_client_takes_nothing() -> None:
    async def run() -> None:
        one = exchange()
        waiting = asyncio.ensure_future(one.all_taken(2 * WINDOW))
        await settle()
        assert not waiting.done()
        one.taken(2 * WINDOW)
        await waiting

    asyncio.run(run())


def test_a_container_that_does_not_keep_to_the_window_is_cut_off() -> None:
    async def run() -> Any:
        one = exchange()
        part = pack_event({"t": "body", "m": True}, b"x" * WINDOW)
        for _ in range(MOST_BYTES // WINDOW + 1):
            one.received(batch(YIELD, part))
        events = [await one.event() for _ in range(MOST_BYTES // WINDOW + 1)]
        return events[-1]

    assert asyncio.run(run()).status == 502


def test_who_waits_when_the_client_goes_is_told() -> None:
    async def run() -> None:
        one = exchange()
        taking, waiting = asyncio.ensure_future(one.take(1)), asyncio.ensure_future(one.all_taken(2 * WINDOW))
        await settle()
        one.over(1001)
        assert await taking == (Part("disconnect", code=1001), b"")
        await waiting
        assert (await one.take(2))[0].kind == "disconnect"

    asyncio.run(run())
