"""What `@modal.clustered` takes and refuses, and what a container knows of its cluster."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

import ionian as modal
from ionian import clusters
from ionian.exception import DeprecationError, InvalidError


@pytest.mark.parametrize("size", [0, -1, 129, 1.5, "2", True, None])
def test_a_size_is_a_number_from_1_to_128(size: Any) -> None:
    with pytest.raises(InvalidError, match=r"size: expected (a whole number, 1 or more|at most 128), got"):
        modal.clustered(size=size)


def test_parentheses_and_keywords_are_needed() -> None:
    with pytest.raises(TypeError):
        modal.clustered(2)  # type: ignore[call-arg]
    with pytest.raises(InvalidError, match="rdma: expected True or False"):
        modal.clustered(size=2, rdma="yes")  # type: ignore[arg-type]


def test_a_function_has_what_its_decorator_says() -> None:
    app = modal.App()

    @app.function(serialized=True, min_containers=4)
    @modal.clustered(size=4, rdma=True)
    def train() -> None: ...

    options = train.options
    assert (options.cluster_size, options.rdma, options.fabric_size) == (4, True, 0)


def test_a_class_has_it_over_the_class_and_one_method() -> None:
    app = modal.App()

    @app.cls(serialized=True)
    @modal.clustered(size=2)
    class Trainer:
        @modal.method()
        def train(self) -> None: ...

    assert app.registered_functions["Trainer.*"].options.cluster_size == 2
    with pytest.raises(InvalidError, match=r"one method for callers, got 2 \(one, two\)"):

        @app.cls(serialized=True)
        @modal.clustered(size=2)
        class _Two:
            @modal.method()
            def one(self) -> None: ...

            @modal.method()
            def two(self) -> None: ...


@pytest.mark.parametrize("argument", ["min_containers", "max_containers", "buffer_containers"])
def test_numbers_of_containers_are_multiples_of_the_size(argument: str) -> None:
    app = modal.App()
    with pytest.raises(
        InvalidError,
        match=rf"{argument}: expected a multiple of the cluster's size \(4\), as it counts containers, got 6",
    ):

        @app.function(serialized=True, **{argument: 6})  # type: ignore[arg-type]
        @modal.clustered(size=4)
        def _train() -> None: ...


def test_what_is_batched_or_answers_web_requests_is_refused() -> None:
    app = modal.App()
    with pytest.raises(InvalidError, match=r"can't be batched; leave @modal\.batched out"):

        @app.function(serialized=True)
        @modal.clustered(size=2)
        @modal.batched(max_batch_size=2, wait_ms=1)
        def _lists(n: list[int]) -> list[int]:
            return n

    with pytest.raises(InvalidError, match="can't answer web requests"):

        @app.function(serialized=True)
        @modal.clustered(size=2)
        @modal.fastapi_endpoint()
        def _page() -> None: ...


def test_several_inputs_at_once_go_with_it() -> None:
    app = modal.App()

    @app.function(serialized=True)
    @modal.clustered(size=2)
    @modal.concurrent(max_inputs=3)
    def one() -> None: ...

    @app.function(serialized=True)
    @modal.concurrent(max_inputs=3)
    @modal.clustered(size=2)
    def other() -> None: ...

    for function in (one, other):
        assert (function.options.cluster_size, function.options.max_inputs) == (2, 3)


def test_over_a_method_or_a_function_of_an_app_it_is_refused() -> None:
    app = modal.App()

    @app.function(serialized=True)
    def function() -> None: ...

    with pytest.raises(InvalidError, match=r"swap the two, @app\.function\(\) on top"):
        modal.clustered(size=2)(function)
    with pytest.raises(InvalidError, match="not for a method; write it over the class"):

        class _Class:  # pyright: ignore[reportUnusedClass]
            @modal.clustered(size=2)
            @modal.method()
            def method(self) -> None: ...


def test_the_earlier_name_warns_and_checks_its_fabric() -> None:
    from ionian import experimental

    with pytest.warns(DeprecationError, match=r"write modal\.clustered"):
        made: Any = experimental.clustered(4, fabric_size=2)(lambda_of())
    assert made.cluster == (4, False, 2)
    with pytest.warns(DeprecationError), pytest.raises(InvalidError, match="fabric_size: expected a divisor"):
        experimental.clustered(4, fabric_size=3)
    with pytest.warns(DeprecationError), pytest.raises(InvalidError, match="broadcast: expected True"):
        experimental.clustered(4, broadcast=False)


def lambda_of() -> Any:
    def function() -> None: ...

    return function


# --- inside


@pytest.fixture
def member() -> Iterator[None]:
    ids = ["ta-1", "ta-1-1"]
    fields = {"cluster_id": "cu-1", "rank": 1, "container_ids": ids, "ipv4": ["10.0.0.1", "10.0.0.2"]}
    clusters.enter({**fields, "ipv6": ["fd00::1", "fd00::2"]})
    yield
    clusters._current = None


@pytest.mark.usefixtures("member")
def test_a_member_knows_its_rank_and_where_the_others_are_without_asking() -> None:
    cluster = modal.Cluster.from_context()
    assert cluster.object_id == "cu-1"
    assert cluster.container_rank() == 1
    assert cluster.container_ids() == ["ta-1", "ta-1-1"]
    assert cluster.container_ips() == ["fd00::1", "fd00::2"]
    assert cluster.container_ips("ipv4") == ["10.0.0.1", "10.0.0.2"]
    assert cluster.container_rank("ta-1") == 0
    with pytest.raises(InvalidError, match=r"container_id: expected a container of cu-1 \(ta-1, ta-1-1\)"):
        cluster.container_rank("ta-2")
    with pytest.raises(InvalidError, match="family: expected"):
        cluster.container_ips("ipx")  # type: ignore[arg-type]
    info = modal.experimental.get_cluster_info()
    assert (info.rank, info.container_ips[0], info.container_ipv4_ips[0]) == (1, "fd00::1", "10.0.0.1")
    assert modal.experimental.get_fabric_peers() == [1]
    with pytest.raises(InvalidError, match="this one is of cu-1, not of cu-2"):
        modal.Cluster.from_id("cu-2").container_rank()


def test_without_ipv6_either_family_is_ipv4() -> None:
    fields = {"cluster_id": "cu-1", "rank": 0, "container_ids": ["ta-1"], "ipv4": ["10.0.0.1"], "ipv6": []}
    clusters.enter(fields)
    try:
        assert modal.Cluster.from_context().container_ips() == ["10.0.0.1"]
    finally:
        clusters._current = None


def test_elsewhere_there_is_no_cluster() -> None:
    for use in (modal.Cluster.from_context, modal.experimental.get_cluster_info, modal.Cluster):
        with pytest.raises(InvalidError):
            use()
    with pytest.raises(InvalidError, match='cluster_id: expected the id of a cluster, "cu-…"'):
        modal.Cluster.from_id("ta-1")
    assert modal.Cluster.from_id("cu-1").object_id == "cu-1"
