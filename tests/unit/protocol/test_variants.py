from __future__ import annotations

import re

from ionian.protocol.ids import new_id
from ionian.protocol.spec import (
    ClassSpec,
    Concurrency,
    FunctionSpec,
    Overrides,
    Resources,
    RetryPolicy,
    Scaling,
    VolumeMount,
)
from ionian.protocol.variants import combine, variant_id, vary

BASE = FunctionSpec(
    new_id("fu"),
    "f",
    "module",
    "f",
    env={"A": "1", "B": "1"},
    secret_ids=["st-1"],
    scaling=Scaling(min_containers=2),
    version=3,
)


def test_equal_overrides_of_one_function_are_one_variant() -> None:
    one = variant_id("fu-1", Overrides(timeout_s=3.0, env={"A": "1", "B": "2"}))
    assert re.fullmatch(r"fu-[0-9A-HJKMNP-TV-Z]{26}", one)
    assert variant_id("fu-1", Overrides(timeout_s=3.0, env={"B": "2", "A": "1"})) == one
    assert variant_id("fu-1", Overrides(timeout_s=4.0, env={"A": "1", "B": "2"})) != one
    assert variant_id("fu-2", Overrides(timeout_s=3.0, env={"A": "1", "B": "2"})) != one


def test_a_variant_is_its_function_but_for_what_it_overrides() -> None:
    mount = VolumeMount("/data", "vo-1")
    overrides = Overrides(
        resources=Resources(cpu_milli=500),
        retries=RetryPolicy(2),
        timeout_s=9.0,
        env={"B": "2"},
        secret_ids=[],
        volumes=[mount],
        concurrency=Concurrency(5),
    )
    made = vary(BASE, overrides)
    assert (made.function_id, made.base_id) == (variant_id(BASE.function_id, overrides), BASE.function_id)
    assert (made.resources.cpu_milli, made.retries, made.timeout_s) == (500, RetryPolicy(2), 9.0)
    assert (made.env, made.secret_ids, made.volumes) == ({"A": "1", "B": "2"}, [], [mount])
    assert (made.concurrency, made.scaling, made.version) == (Concurrency(5), BASE.scaling, 3)
    assert BASE.env == {"A": "1", "B": "1"}


def test_a_pool_of_a_class_holds_no_containers_of_its_own_accord() -> None:
    base = FunctionSpec(
        new_id("fu"), "C.*", "m", "C", class_spec=ClassSpec(), scaling=Scaling(2, max_containers=4)
    )
    pool = vary(base, Overrides(arguments="gAQ="))
    assert pool.class_spec is not None
    assert (pool.class_spec.arguments, pool.scaling) == ("gAQ=", Scaling(0, max_containers=4))
    assert vary(base, Overrides(arguments="gAQ=", scaling=Scaling(1))).scaling == Scaling(1)


def test_of_two_overrides_the_second_counts_and_variables_of_both_are_there() -> None:
    first = Overrides(timeout_s=1.0, env={"A": "1", "B": "1"}, secret_ids=["st-1"])
    both = combine(first, Overrides(timeout_s=2.0, env={"B": "2"}))
    assert both == Overrides(timeout_s=2.0, env={"A": "1", "B": "2"}, secret_ids=["st-1"])
