"""The decorators of methods, and those of concurrent and batched inputs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import ionian
from ionian.exception import DeprecationError, ExecutionError, InvalidError
from ionian.partial_function import PartialFunction

app = ionian.App("test")


def plain(xs: list[int]) -> list[int]:
    return xs


@pytest.mark.parametrize("name", ["method", "enter", "exit", "concurrent"])
def test_a_decorator_needs_parentheses(name: str):
    with pytest.raises(InvalidError, match=rf"@modal.{name} needs parentheses: @modal.{name}\("):
        getattr(ionian, name)(plain)


@pytest.mark.parametrize("name", ["method", "enter", "exit"])
@pytest.mark.parametrize(
    ("over", "message"),
    [
        (int, "takes a function, and int is a class"),
        (3, "takes a function written with def, got 3"),
        (app.function(serialized=True, name="f")(plain), r"stands over @app.function\(\); swap the two"),
    ],
)
def test_a_decorator_of_methods_takes_functions(name: str, over: Any, message: str):
    with pytest.raises(InvalidError, match=f"@modal.{name} {message}"):
        getattr(ionian, name)()(over)


def test_a_method_is_either_for_callers_or_for_the_life_of_the_container():
    with pytest.raises(InvalidError, match="plain: a method is either for callers"):
        ionian.method()(ionian.enter()(plain))  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match="plain: a method is either for callers"):
        ionian.exit()(ionian.method()(plain))  # type: ignore[arg-type]


def test_one_method_may_be_both_enter_and_exit():
    made: Any = ionian.enter()(ionian.exit()(plain))  # type: ignore[arg-type]
    assert made.kinds == {"enter", "exit"}


def test_app_function_refuses_a_method():
    with pytest.raises(
        InvalidError, match=r"plain has @modal.method\(\), which belongs to methods of a class"
    ):
        ionian.App().function(serialized=True)(ionian.method()(plain))


def test_a_method_of_a_class_without_an_app_runs_here_and_has_no_containers():
    class Free:
        @ionian.method()
        def f(self, n: int) -> int:
            return n + 1

    assert Free().f(1) == Free().f.local(1) == 2
    assert isinstance(Free.f, PartialFunction)
    with pytest.raises(
        ExecutionError,
        match=r"Free.f has no containers: Free is of no app; write @app.cls\(\) over the class",
    ):
        Free().f.remote(1)


# --- concurrent


def test_concurrent_sets_the_options_of_a_function():
    made = ionian.App().function(serialized=True)(ionian.concurrent(max_inputs=8, target_inputs=6)(plain))
    assert (made.options.max_inputs, made.options.target_inputs) == (8, 6)
    assert made.local([1]) == [1]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_inputs": 0}, "max_inputs: expected a whole number, 1 or more"),
        ({"max_inputs": "2"}, "max_inputs: "),
        ({"max_inputs": 2, "target_inputs": 3}, r"target_inputs: expected at most max_inputs \(2\)"),
        ({"max_inputs": 2, "target_inputs": 0}, "target_inputs: "),
    ],
)
def test_concurrent_refuses_wrong_numbers(given: Any, message: str):
    with pytest.raises(InvalidError, match=message):
        ionian.concurrent(**given)


def test_concurrent_needs_max_inputs():
    with pytest.raises(TypeError, match="needs max_inputs"):
        ionian.concurrent()


def test_concurrent_stands_under_the_decorators_of_an_app():
    taken = ionian.App().cls(serialized=True)(type("Model", (), {}))
    for over in (taken, ionian.App().function(serialized=True)(plain)):
        with pytest.raises(InvalidError, match="swap the two"):
            ionian.concurrent(max_inputs=2)(over)


def test_allow_concurrent_inputs_means_concurrent():
    with pytest.warns(DeprecationError, match=r"write @modal.concurrent\(max_inputs=4\)"):
        made = ionian.App().cls(serialized=True, allow_concurrent_inputs=4)(type("Model", (), {}))
    from ionian.cls import service_of

    assert service_of(made).options.max_inputs == 4  # type: ignore[arg-type]


# --- batched


def test_batched_sets_the_options_of_a_function():
    made = ionian.App().function(serialized=True)(ionian.batched(max_batch_size=8, wait_ms=100)(plain))
    assert (made.options.batch_size, made.options.batch_wait_ms) == (8, 100)


def test_batched_and_concurrent_go_together():
    both = ionian.concurrent(max_inputs=2)(ionian.batched(max_batch_size=8, wait_ms=100)(plain))
    assert ionian.App().function(serialized=True)(both).options.max_inputs == 2
    both = ionian.batched(max_batch_size=8, wait_ms=100)(ionian.concurrent(max_inputs=2)(plain))
    assert ionian.App().function(serialized=True)(both).options.batch_size == 8


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"max_batch_size": 0, "wait_ms": 1}, "max_batch_size: expected a whole number, 1 or more"),
        ({"max_batch_size": 1001, "wait_ms": 1}, "max_batch_size: expected at most 1000"),
        ({"max_batch_size": 1, "wait_ms": -1}, "wait_ms: expected a whole number of milliseconds, 0 or more"),
        ({"max_batch_size": 1, "wait_ms": 600_001}, "wait_ms: expected at most 600000 milliseconds"),
        ({"max_batch_size": 1, "wait_ms": 0.5}, "wait_ms: "),
    ],
)
def test_batched_refuses_wrong_numbers(given: Any, message: str):
    with pytest.raises(InvalidError, match=message):
        ionian.batched(**given)


def test_batched_takes_functions_that_return_lists():
    batched = ionian.batched(max_batch_size=2, wait_ms=1)

    def generator(xs: list[int]) -> Iterator[int]:
        yield from xs

    def with_default(xs: list[int], n: int = 1) -> list[int]:
        return xs

    with pytest.raises(
        InvalidError, match=r"generator: @modal\.batched takes a function that returns a list"
    ):
        batched(generator)
    with pytest.raises(InvalidError, match=r"with_default: .* can't have default arguments"):
        batched(with_default)
    with pytest.raises(InvalidError, match=r"@modal.batched takes the place of @modal.method"):
        batched(ionian.method()(plain))
    with pytest.raises(InvalidError, match=r"@modal.batched takes the place of @modal.method"):
        ionian.method()(batched(plain))
