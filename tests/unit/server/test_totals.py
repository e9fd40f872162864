"""What `/metrics` says of calls: totals of minutes that are counted anyway."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families

from ionian.server.durations import bucket
from ionian.server.store.counts import Counted
from ionian.server.totals import GONE_KEPT_MIN, Totals

OF_FUNCTION = ("ionian_function_inputs_ended_total", "ap-1", "main", "tag of fu-1", "succeeded")
"""A series: app, environment, function and outcome."""


class Minutes:
    """What is counted, minute by minute."""

    def __init__(self) -> None:
        self.now: list[Counted] = []
        self.totals = Totals(lambda: self.now)
        self.number = 100

    def count(
        self,
        function_id: str = "fu-1",
        root_id: str = "",
        *,
        tag: str = "",
        succeeded: int = 0,
        failed: int = 0,
    ) -> Counted:
        root = root_id or function_id
        one = Counted(function_id, self.number, 1, root, "ap-1", "main", succeeded, failed)
        self.totals.counts(one, tag or f"tag of {root}")
        self.now.append(one)
        return one

    def over(self, *there: str) -> None:
        self.totals.minute_over(self.now, self.number, there)
        self.now, self.number = [], self.number + 1

    def read(self) -> dict[tuple[str, ...], float]:
        registry = CollectorRegistry()
        registry.register(self.totals)
        return {
            (sample.name, *[sample.labels[label] for label in sorted(sample.labels)]): sample.value
            for family in text_string_to_metric_families(generate_latest(registry).decode())
            for sample in family.samples
        }


def test_totals_grow_over_minutes_and_have_the_one_that_goes_on() -> None:
    minutes = Minutes()
    minutes.count(succeeded=3, failed=1)
    minutes.over("fu-1")
    minutes.count(succeeded=2)
    for _ in range(2):  # to be asked changes nothing
        found = minutes.read()
        assert found["ionian_inputs_ended_total", "succeeded"] == 5
        assert found["ionian_inputs_ended_total", "failed"] == 1
        assert found["ionian_inputs_ended_total", "timed_out"] == 0
        assert found[OF_FUNCTION] == 5


def test_variants_count_as_their_function() -> None:
    minutes = Minutes()
    minutes.count("fu-1", succeeded=1)
    minutes.count("fu-v", "fu-1", succeeded=2)
    of_functions = {key: count for key, count in minutes.read().items() if "_function_" in key[0]}
    assert of_functions == {OF_FUNCTION: 3}


def test_a_function_that_is_gone_is_shown_for_some_minutes_and_stays_in_the_total() -> None:
    minutes = Minutes()
    minutes.count(succeeded=4)
    minutes.over()
    assert OF_FUNCTION in minutes.read()
    for _ in range(GONE_KEPT_MIN):
        minutes.over()
    found = minutes.read()
    assert not [key for key in found if "_function_" in key[0]]
    assert found["ionian_inputs_ended_total", "succeeded"] == 4


def test_a_function_that_is_left_out_of_a_deploy_and_back_in_the_next_is_one_series() -> None:
    minutes = Minutes()
    minutes.count("fu-1", succeeded=1)
    minutes.over()
    minutes.count("fu-2", tag="tag of fu-1", succeeded=2)
    of_functions = {key: count for key, count in minutes.read().items() if "_function_" in key[0]}
    assert of_functions == {OF_FUNCTION: 3}


def test_durations_are_in_the_buckets_that_hold_them() -> None:
    minutes = Minutes()
    minutes.count(succeeded=4).run = {bucket(0): 1, bucket(1000): 2, bucket(1e12): 1}
    found = minutes.read()
    run = {
        float(key[1]): count for key, count in found.items() if key[0] == "ionian_input_run_seconds_bucket"
    }
    assert run[0.000128] == 1
    assert run[0.000512] == 1
    assert run[0.001024] == 3
    assert run[max(bound for bound in run if bound < float("inf"))] == 3
    assert run[float("inf")] == found["ionian_input_run_seconds_count",] == 4
