"""map over a link in memory that answers in any order, in pieces, and sometimes twice."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.memory_link import memory_link

import ionian
from ionian import call as calls
from ionian.exception import SerializationError
from ionian.mapping import CHUNK, WINDOW, WINDOW_FAST
from ionian.protocol.batch import Batch
from ionian.protocol.wire import entries

app = ionian.App("test")


@app.function()
def double(n: int, plus: int = 0) -> int:
    if n < 0:
        raise ValueError(f"{n} is below zero")
    return 2 * n + plus


double.function_id = "fu-1"
raw: Callable[..., int] = double.local
seeds = st.integers(0, 2**16)
few = settings(max_examples=30, deadline=None)


def collect(results: Iterator[Any]) -> list[Any]:
    """The results, and the exception that ended them."""
    got: list[Any] = []
    try:
        got.extend(iter(results))
    except Exception as error:
        got.append(repr(error))
    return got


def collect_async(make: Callable[[], AsyncIterator[Any]]) -> list[Any]:
    async def run() -> list[Any]:
        got: list[Any] = []
        try:
            async for value in make():
                got.append(value)
        except Exception as error:
            got.append(repr(error))
        return got

    return asyncio.run(run())


async def later(items: Any) -> AsyncIterator[Any]:
    for item in items:
        await asyncio.sleep(0)
        yield item


@few
@given(st.integers(0, 700), seeds)
def test_results_come_in_the_order_of_the_inputs_whatever_order_they_are_ready_in(n: int, seed: int):
    with memory_link(raw, seed=seed) as link:
        assert list(double.map(range(n))) == [2 * number for number in range(n)]
        assert [finished for _, finished in link.closed] == [True]


@few
@given(st.integers(0, 700), seeds)
def test_unordered_results_come_once_each(n: int, seed: int):
    with memory_link(raw, seed=seed):
        got = list(double.map(range(n), order_outputs=False))
        assert sorted(got) == [2 * number for number in range(n)]


@few
@given(st.integers(0, 700), seeds, st.booleans(), st.booleans())
def test_the_asynchronous_form_gives_the_same(n: int, seed: int, ordered: bool, source_async: bool):
    with memory_link(raw, seed=seed):
        source: Any = later(range(n)) if source_async else range(n)
        got = collect_async(lambda: double.map.aio(source, order_outputs=ordered))
        assert (got if ordered else sorted(got)) == [2 * number for number in range(n)]


@few
@given(st.integers(1, 300), seeds, st.data())
def test_a_failed_input_ends_an_ordered_map_at_its_place(n: int, seed: int, data: st.DataObject):
    at = data.draw(st.integers(0, n - 1))
    items = [-1 if number == at else number for number in range(n)]
    with memory_link(raw, seed=seed):
        assert collect(iter(double.map(items))) == [
            *[2 * number for number in range(at)],
            "ValueError('-1 is below zero')",
        ]


@few
@given(st.lists(st.integers(-3, 3), max_size=50), seeds)
def test_returned_exceptions_stand_at_their_places(items: list[int], seed: int):
    with memory_link(raw, seed=seed):
        got = list(double.map(items, return_exceptions=True))
    assert [repr(value) for value in got] == [
        f"ValueError('{n} is below zero')" if n < 0 else repr(2 * n) for n in items
    ]


@few
@given(st.integers(0, 400), seeds, st.booleans())
def test_an_exception_of_the_iterator_comes_after_every_result_of_what_it_gave(
    n: int, seed: int, ordered: bool
):
    def broken() -> Iterator[int]:
        yield from range(n)
        raise OSError("broken")

    for source, asynchronous in ((broken(), False), (broken(), True), (later(broken()), True)):
        with memory_link(raw, seed=seed):
            if asynchronous:
                got = collect_async(lambda s=source: double.map.aio(s, order_outputs=ordered))
            else:
                got = collect(iter(double.map(source, order_outputs=ordered)))
        assert got[-1] == "OSError('broken')"
        assert (got[:-1] if ordered else sorted(got[:-1])) == [2 * number for number in range(n)]


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_argument_that_cannot_be_pickled_comes_after_the_results_before_it(asynchronous: bool):
    items = [1, 2, (n for n in range(3)), 4]
    with memory_link(raw):
        got = (
            collect_async(lambda: double.map.aio(items)) if asynchronous else collect(iter(double.map(items)))
        )
    assert got[:2] == [2, 4]
    assert got[2].startswith(SerializationError.__name__)
    assert "number 2 of its inputs" in got[2]
    assert len(got) == 3


@pytest.mark.parametrize("asynchronous", [False, True])
def test_an_endless_iterator_is_read_no_further_than_the_window(asynchronous: bool):
    read = 0

    def endless() -> Iterator[int]:
        nonlocal read
        for read in itertools.count(1):
            yield read - 1

    with memory_link(raw, batch=WINDOW) as link:  # answers once the window is full
        if asynchronous:
            got = asyncio.run(first_async(3000, double.map.aio(endless())))
        else:
            results = iter(double.map(endless()))
            got = list(itertools.islice(results, 3000))
            results.close()  # type: ignore[attr-defined]
        assert got == [2 * number for number in range(3000)]
        assert WINDOW <= link.most_waiting <= WINDOW_FAST + CHUNK
        assert read <= 3000 + WINDOW_FAST + 2 * CHUNK
        assert len(link.closed) == 1


async def first_async(count: int, results: AsyncIterator[Any]) -> list[Any]:
    got: list[Any] = []
    async for value in results:
        got.append(value)
        if len(got) == count:
            break
    await results.aclose()  # type: ignore[attr-defined]
    return got


class Closing:
    """Iterables that say whether they were closed."""

    def __init__(self) -> None:
        self.closed = False

    def numbers(self) -> Iterator[int]:
        try:
            yield from itertools.count()
        finally:
            self.closed = True

    async def numbers_async(self) -> AsyncIterator[int]:
        try:
            for number in itertools.count():
                await asyncio.sleep(0)
                yield number
        finally:
            self.closed = True


def test_a_map_left_early_closes_its_iterator():
    source = Closing()
    with memory_link(raw):
        for _ in double.map(source.numbers()):
            break
    assert source.closed


@pytest.mark.parametrize("kind", ["numbers", "numbers_async"])
def test_an_asynchronous_map_left_early_closes_its_iterable(kind: str):
    source = Closing()
    with memory_link(raw):
        assert asyncio.run(first_async(1, double.map.aio(getattr(source, kind)()))) == [0]
    assert source.closed


def test_starmap_and_kwargs_make_the_arguments():
    with memory_link(raw):
        assert list(double.starmap([(1, 2), (3,)])) == [4, 6]
        assert list(double.map([1, 2], kwargs={"plus": 10})) == [12, 14]
        assert list(double.map([1, 2, 3], iter([10, 20]))) == [12, 24]


def test_inputs_without_a_result_are_there_to_be_sent_again():
    with memory_link(raw, batch=10**9):  # never answers
        call = calls.Call(double)
        call.send(0, [b"a" * 10] * 300)
        call.send(300, [b"b"])
        assert call.unfinished_bytes == 3001
        again = [
            Batch.unpack(header, payload) for entry in call.unsent() for _, header, payload in entries(entry)
        ]
        assert [index for batch in again for index in batch.index] == list(range(301))
        call.close()
