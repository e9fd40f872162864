"""Functions: what may be one, how it is called, and what it is before its app runs."""

from __future__ import annotations

import asyncio
import gc
import pickle
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

import ionian
from ionian import call, mapping
from ionian.exception import ExecutionError, InvalidError, SerializationError

app = ionian.App("test")


@app.function()
def double(n: int, plus: int = 0) -> int:
    """Twice as much."""
    return 2 * n + plus


@app.function()
async def later(n: int) -> int:
    return n


@app.function()
def count(n: int) -> Iterator[int]:
    yield from range(n)


@app.function()
async def count_later(n: int) -> AsyncIterator[int]:
    for item in range(n):
        yield item


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The call engine, answering here what containers would."""
    calls: list[Any] = []

    def run(function: Any, args: Any, kwargs: Any) -> Any:
        calls.append((function.tag, args, kwargs))
        return function.raw(*args, **kwargs)

    async def run_async(function: Any, args: Any, kwargs: Any) -> Any:
        return run(function, args, kwargs)

    def map_sync(function: Any, iterables: Any, kwargs: Any, **options: Any) -> Iterator[Any]:
        calls.append(options)
        for args in iterables[0] if options["star"] else zip(*iterables, strict=False):
            yield function.raw(*args, **kwargs)

    async def map_async(function: Any, iterables: Any, kwargs: Any, **options: Any) -> AsyncIterator[Any]:
        for result in map_sync(function, iterables, kwargs, **options):
            yield result

    for module, fake in ((call, run), (call, run_async), (mapping, map_sync), (mapping, map_async)):
        monkeypatch.setattr(module, fake.__name__, fake)
    return calls


def test_remote_runs_one_input(engine: list[Any]) -> None:
    assert double.remote(2, plus=1) == 5
    assert asyncio.run(double.remote.aio(4)) == 8
    assert engine == [("double", (2,), {"plus": 1}), ("double", (4,), {})]


def test_local_calls_the_python_function() -> None:
    assert double.local(2) == 4
    assert asyncio.run(later.local(3)) == 3
    assert list(count.local(2)) == [0, 1]


def test_map_zips_its_iterables_and_passes_kwargs_to_each(engine: list[Any]) -> None:
    assert list(double.map([1, 2, 3], [10, 20])) == [12, 24]
    assert list(double.map([1], kwargs={"plus": 5}, order_outputs=False, return_exceptions=True)) == [7]
    assert engine[1] == {"order_outputs": False, "return_exceptions": True, "star": False}


def test_starmap_unpacks_tuples(engine: list[Any]) -> None:
    assert list(double.starmap([(1, 2), (3, 4)])) == [4, 10]
    assert engine[0]["star"]


def test_for_each_runs_all_at_once_and_returns_nothing(engine: list[Any]) -> None:
    assert double.for_each([1, 2], ignore_exceptions=True) is None
    assert engine == [{"order_outputs": False, "return_exceptions": True, "star": False}]


def test_map_has_an_asynchronous_twin(engine: list[Any]) -> None:
    async def collect() -> list[int]:
        return [result async for result in double.map.aio([1, 2])] + [
            r async for r in double.starmap.aio([(3, 1)])
        ]

    assert asyncio.run(collect()) == [2, 4, 7]


def test_a_map_runs_nothing_before_it_is_read(engine: list[Any]) -> None:
    results = double.map([1, 2])
    assert engine == []
    assert next(results) == 2
    assert list(results) == [4]


def test_a_map_that_nobody_reads_warns() -> None:
    def forget() -> None:
        double.map([1])
        gc.collect()

    with pytest.warns(UserWarning, match="for_each"):
        forget()


def test_wrong_arguments_of_map_are_refused_where_it_is_called() -> None:
    with pytest.raises(InvalidError, match="at least one iterable"):
        double.map()
    with pytest.raises(InvalidError, match="got 5"):
        double.map(5)  # pyright: ignore
    with pytest.raises(InvalidError, match="order_outputs"):
        double.map([1], order_outputs="no")  # pyright: ignore
    with pytest.raises(InvalidError, match="kwargs"):
        double.map([1], kwargs=[1])  # pyright: ignore


def test_an_asynchronous_iterable_needs_the_asynchronous_twin() -> None:
    with pytest.raises(InvalidError, match=r"map\.aio"):
        list(double.map(count_later.local(3)))


def test_generators_have_a_way_of_their_own() -> None:
    assert count.is_generator
    assert count_later.is_generator
    assert not later.is_generator
    for wrong in (lambda: count.remote(3), lambda: count.map([3]), lambda: asyncio.run(count.remote.aio(3))):
        with pytest.raises(InvalidError, match="remote_gen"):
            wrong()
    with pytest.raises(InvalidError, match="no generator"):
        double.remote_gen(1)


def test_calling_a_function_by_itself_says_how_to() -> None:
    with pytest.raises(InvalidError, match=r"double\.remote"):
        double(1)


def test_a_call_without_a_running_app_says_what_to_do() -> None:
    with pytest.raises(ExecutionError, match=r"with app\.run\(\)"):
        double.hydrate()
    with pytest.raises(ExecutionError, match="not running"):
        _ = double.object_id


def test_a_function_travels_by_its_id() -> None:
    with pytest.raises(SerializationError, match="double can't be pickled"):
        pickle.dumps(double)
    made = ionian.App().function(serialized=True)(lambda: 1)
    made.function_id = "fu-1"
    copy = pickle.loads(pickle.dumps(made))
    assert (copy.function_id, copy.tag, copy.is_generator) == ("fu-1", made.tag, False)
    with pytest.raises(ExecutionError, match="defined elsewhere"):
        copy.local()


def test_a_function_looks_like_the_one_it_was_made_of() -> None:
    assert (double.__name__, double.__doc__, double.module) == ("double", "Twice as much.", __name__)
    assert repr(double) == "<Function double>"


def test_how_containers_come_by_a_function() -> None:
    assert double.definition == "package"
    assert ionian.App().function(serialized=True)(lambda: 1).definition == "serialized"


def test_what_no_container_can_find_is_refused() -> None:
    def inner() -> None: ...

    class Thing:
        def method(self) -> None: ...

    Thing.method.__qualname__ = "Thing.method"
    with pytest.raises(InvalidError, match="inside another function"):
        app.function()(inner)
    with pytest.raises(InvalidError, match="is a method"):
        app.function()(Thing.method)
    with pytest.raises(TypeError, match=r"@app\.cls"):
        app.function()(Thing)
    with pytest.raises(InvalidError, match="has two"):
        app.function()(double)  # pyright: ignore
    with pytest.raises(InvalidError, match="written with def"):
        app.function()(print)


def test_local_warns_of_volumes_that_are_not_there() -> None:
    made = ionian.App().function(serialized=True, volumes={"/v": ionian.Volume.from_name("v")})(lambda: 1)
    with pytest.warns(UserWarning, match="volumes are not mounted"):
        assert made.local() == 1


def test_types_can_be_subscripted_at_run_time() -> None:
    assert "Function" in repr(ionian.Function[[int], int])
    assert isinstance(double, ionian.Function)
