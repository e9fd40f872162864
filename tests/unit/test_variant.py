"""Functions with other options: what a variant asks the server for, and what is refused where it is written."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tests.unit.asked import Asked, asked

import ionian as modal
from ionian import link as links
from ionian.exception import ExecutionError, InvalidError, UnimplementedError
from ionian.function import Function, handle
from ionian.protocol.apps import FindVolume, FoundVolume, PutSecret, SecretKept
from ionian.protocol.calls import BindFunction, DescribeFunction, FoundFunction, FunctionDescription
from ionian.protocol.spec import (
    Batching,
    Concurrency,
    Overrides,
    Resources,
    RetryPolicy,
    Scaling,
    VolumeMount,
)

square = handle("fu-1", "square", False)


def answer(message: Any) -> Any:
    """Of a server with functions of 2 cores, 1 GiB, and 3 to 5 containers."""
    match message:
        case DescribeFunction():
            resources = Resources(cpu_milli=2000, memory_mib=1024)
            scaling = Scaling(min_containers=3, max_containers=5, buffer_containers=1)
            return FunctionDescription(message.function_id, "ap-1", "main", resources, scaling)
        case BindFunction():
            return FoundFunction(f"{message.function_id}v", "ap-1")
        case PutSecret():
            return SecretKept("st-" + "-".join(message.values))
        case FindVolume():
            return FoundVolume(f"vo-{message.name}-{message.environment}")
        case _:
            raise AssertionError(f"nobody asks for {message}")


@pytest.fixture
def server() -> Iterator[Asked]:
    with asked(answer) as made:
        yield made


def overrides(variant: Function[..., Any, Any], server: Asked) -> Overrides:
    """What a variant has otherwise, as the server is told."""
    variant.hydrate()
    return server.of(BindFunction)[-1].overrides


def test_only_what_is_given_differs_from_the_function(server: Asked) -> None:
    assert overrides(square.with_options(timeout=7), server) == Overrides(timeout_s=7.0)
    changes = overrides(square.with_options(cpu=4, max_containers=9), server)
    assert changes == Overrides(
        resources=Resources(cpu_milli=4000, memory_mib=1024),
        scaling=Scaling(min_containers=3, max_containers=9, buffer_containers=1),
    )


def test_each_option_reaches_the_server(server: Asked) -> None:
    volume = modal.Volume.from_name("data", create_if_missing=True)
    changes = overrides(
        square.with_options(
            memory=(256, 512),
            gpu="T4",
            env={"A": "1", "B": None},
            secrets=[modal.Secret.from_dict({"S": "x"})],
            volumes={"/data": volume},
            retries=2,
            buffer_containers=2,
            scaledown_window=9,
        ),
        server,
    )
    assert changes.resources is not None
    assert (changes.resources.memory_mib, changes.resources.memory_limit_mib) == (256, 512)
    assert [gpu.model for gpu in changes.resources.gpus] == ["T4"]
    assert changes.env == {"A": "1"}
    assert changes.secret_ids == ["st-S"]
    assert changes.volumes == [VolumeMount("/data", "vo-data-main", False)]
    assert changes.retries == RetryPolicy(2)
    assert changes.scaling == Scaling(3, 5, 2, 9.0)


def test_the_minimum_of_the_function_gives_way_to_a_smaller_maximum(server: Asked) -> None:
    changes = overrides(square.with_options(max_containers=2), server)
    assert changes.scaling is not None
    assert (changes.scaling.min_containers, changes.scaling.max_containers) == (2, 2)


def test_later_options_are_put_over_earlier_ones_and_env_is_added(server: Asked) -> None:
    first = square.with_options(env={"A": "1", "B": "1"}, timeout=5)
    second = first.with_options(env={"B": "2"}, retries=1).with_concurrency(max_inputs=4, target_inputs=2)
    assert overrides(second, server) == Overrides(
        env={"A": "1", "B": "2"}, timeout_s=5.0, retries=RetryPolicy(1), concurrency=Concurrency(4, 2)
    )
    assert overrides(first, server) == Overrides(env={"A": "1", "B": "1"}, timeout_s=5.0)


def test_batches_have_other_limits(server: Asked) -> None:
    changes = overrides(square.with_batching(max_batch_size=8, wait_ms=100), server)
    assert changes == Overrides(batching=Batching(8, 100))


def test_the_server_is_asked_once_for_each_variant(server: Asked) -> None:
    variant = square.with_options(timeout=7)
    assert variant.hydrate().object_id == variant.hydrate().object_id == "fu-1v"
    assert len(server.of(BindFunction)) == 1


def test_a_variant_of_an_app_that_ran_again_is_asked_for_again(server: Asked) -> None:
    base = handle("fu-1", "square", False)
    variant = base.with_options(timeout=7)
    variant.hydrate()
    base.function_id = "fu-2"
    assert variant.hydrate().object_id == "fu-2v"


@pytest.mark.parametrize("is_variant", [False, True])
def test_no_server_is_looked_for_where_the_app_does_not_run(
    monkeypatch: pytest.MonkeyPatch, is_variant: bool
) -> None:
    app = modal.App("idle")

    @app.function(serialized=True)
    def idle() -> None: ...

    def unwanted() -> None:
        raise AssertionError("a server was looked for")

    monkeypatch.setattr(links, "current", unwanted)
    function: Any = idle.with_options(cpu=1) if is_variant else idle
    uses: list[Callable[[], Any]] = [
        function.remote,
        function.spawn,
        lambda: list(function.map([])),
        lambda: function.spawn_map([]),
        function.get_current_stats,
        function.update_autoscaler,
        lambda: asyncio.run(function.remote.aio()),
        lambda: asyncio.run(function.spawn.aio()),
    ]
    for use in uses:
        with pytest.raises(ExecutionError, match="idle is not running"):
            use()


def test_a_variant_says_what_it_has_otherwise() -> None:
    assert repr(square.with_options(cpu=1, timeout=3)) == "<Function square with other cpu, timeout>"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "at least one option"),
        ({"cpu": -1}, "cpu: "),
        ({"memory": "1 GiB"}, "memory: "),
        ({"memory": (512, 256)}, "memory: "),
        ({"gpu": "A1000"}, "gpu: "),
        ({"env": {"A": 1}}, "env: "),
        ({"secrets": ["TOKEN"]}, "secrets: "),
        ({"volumes": {"data": modal.Volume.from_name("v")}}, "volumes: "),
        ({"volumes": {"/data": "data"}}, "volumes: "),
        ({"retries": -1}, "retries: "),
        ({"max_containers": 0}, "max_containers: "),
        ({"buffer_containers": -1}, "buffer_containers: "),
        ({"scaledown_window": 0}, "scaledown_window: "),
        ({"timeout": 0}, "timeout: "),
    ],
)
def test_a_wrong_option_is_refused_by_name(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        square.with_options(**options)


def test_wrong_limits_are_refused_by_name() -> None:
    with pytest.raises(InvalidError, match="max_inputs"):
        square.with_concurrency(max_inputs=0)
    with pytest.raises(InvalidError, match="target_inputs"):
        square.with_concurrency(max_inputs=2, target_inputs=3)
    with pytest.raises(InvalidError, match="max_batch_size"):
        square.with_batching(max_batch_size=1001, wait_ms=1)
    with pytest.raises(InvalidError, match="wait_ms"):
        square.with_batching(max_batch_size=2, wait_ms=-1)


def test_a_place_comes_later_by_name() -> None:
    with pytest.raises(UnimplementedError, match="region"):
        square.with_options(region="eu")


def test_a_generator_has_no_retries() -> None:
    app = modal.App("generates")

    @app.function(serialized=True)
    def items() -> Iterator[int]:
        yield 1

    with pytest.raises(InvalidError, match=r"retries: .*items is a generator"):
        items.with_options(retries=1)
    assert items.with_options(cpu=1).is_generator


def test_a_gpu_is_not_asked_for_where_gpus_are_ignored(
    server: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IONIAN_GPU", "ignore")
    changes = overrides(square.with_options(gpu="H100", cpu=4), server)
    assert changes.resources == Resources(cpu_milli=4000, memory_mib=1024)
