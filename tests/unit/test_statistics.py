"""What apps and functions are and did, in the words of `modal.types`."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest
from tests.unit.asked import asked

import ionian
from ionian import types
from ionian.exception import ExecutionError, InvalidError
from ionian.function import handle
from ionian.metrics import steps_of
from ionian.protocol.spec import (
    Batching,
    ClassSpec,
    FunctionSpec,
    GpuRequest,
    MethodSpec,
    Resources,
    Schedule,
    WebSpec,
)
from ionian.protocol.statistics import (
    AppDescription,
    Distribution,
    FunctionInspected,
    FunctionMeasured,
    MeasureFunction,
)
from ionian.statistics import written_schedule

square = handle("fu-1", "square", False)
NOW = datetime.now(timezone.utc)


@pytest.mark.parametrize(
    ("hours", "given", "width"),
    [(1, None, 1), (2, None, 2), (24, None, 15), (168, None, 120), (1, timedelta(minutes=7), 7)],
)
def test_series_have_up_to_a_hundred_steps_unless_their_length_is_given(
    hours: int, given: timedelta | None, width: int
) -> None:
    first, steps, seconds = steps_of(NOW - timedelta(hours=hours), NOW, given)
    assert (seconds, first % seconds) == (60 * width, 0)
    assert first <= NOW.timestamp() - 3600 * hours < first + seconds
    assert 0 <= NOW.timestamp() - (first + steps * seconds) < seconds


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"bucket_size": 60}, "bucket_size: expected a timedelta, got 60"),
        ({"bucket_size": timedelta(seconds=90)}, "bucket_size: expected whole minutes"),
        ({"bucket_size": timedelta(minutes=1), "since": NOW - timedelta(days=2)}, "at most 500 steps"),
        ({"since": NOW, "until": NOW}, "since: expected a time before until"),
        ({"groups": "calls"}, "groups: expected a list with some of 'calls', 'containers'"),
        ({"groups": ["gpu"]}, "groups: expected a list with some of 'calls', 'containers'"),
        ({"all_variants": 1}, "all_variants: expected True or False"),
    ],
)
def test_wrong_arguments_of_series_are_named(given: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidError, match=said):
        square.metrics.export(**given)


def test_statistics_are_of_the_last_hour_unless_a_time_is_given() -> None:
    found = FunctionMeasured("fu-1", 7, inputs=[Distribution("Execution time (s)", "s", {"50": 0.5})])
    with asked(lambda _: found) as server:
        stats = square.stats()
        square.stats(since=NOW - timedelta(days=3), until=NOW - timedelta(days=2), all_variants=True)
    first, second = server.of(MeasureFunction)
    assert first.until_at == pytest.approx(time.time(), abs=60)
    assert first.until_at - first.since_at == 3600
    assert second == MeasureFunction(
        "fu-1", (NOW - timedelta(days=3)).timestamp(), (NOW - timedelta(days=2)).timestamp(), True
    )
    assert stats.since.tzinfo is timezone.utc
    assert (stats.input_success_count, stats.all_variants) == (7, False)
    spread = stats.input_percentile_stats["Execution time (s)"]
    assert spread == types.StatsPercentileDistribution("s", [types.StatsPercentile(50, 0.5)])


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"since": NOW, "until": NOW - timedelta(hours=1)}, "since: expected a time before until"),
        ({"since": NOW - timedelta(days=7, minutes=1)}, "since: expected at most 7 days before until"),
        (
            {"since": NOW - timedelta(days=9), "until": NOW - timedelta(days=8)},
            "since: expected a time in the last 8 days",
        ),
        ({"since": "2h"}, "since: expected a datetime"),
        ({"until": 3}, "until: expected a datetime"),
        ({"all_variants": 1}, "all_variants: "),
    ],
)
def test_a_wrong_time_is_refused_by_name_and_nothing_is_asked(arguments: dict[str, Any], said: str) -> None:
    with asked(lambda _: None) as server, pytest.raises(InvalidError, match=said):
        square.stats(**arguments)
    assert not server.messages


@pytest.mark.parametrize("name", ["stats", "info"])
def test_an_app_that_has_not_run_has_none(name: str) -> None:
    with pytest.raises(ExecutionError, match="neither runs nor is deployed here"):
        getattr(ionian.App("new"), name)()


def test_an_app_says_who_made_it_and_what_has_not_happened() -> None:
    app = ionian.App("shop")
    app.app_id = "ap-1"
    described = AppDescription(
        "ap-1", "shop", "main", "deployed", 3, 1.0, "ann", 2.0, "bob", functions={"f": "fu-1"}
    )
    with asked(lambda _: described):
        info = app.info(refresh=True)
    life = info.lifecycle
    assert (life.state, life.version, life.created_by, life.deployed_by) == (
        types.AppState.DEPLOYED,
        3,
        "ann",
        "bob",
    )
    assert life.created_at == datetime.fromtimestamp(1.0, timezone.utc)
    assert (life.stopped_at, life.stopped_by) == (None, None)
    assert (info.functions, info.servers) == ({"f": "fu-1"}, {})


def test_a_function_says_what_its_containers_have() -> None:
    spec = FunctionSpec(
        "fu-1",
        "square",
        "m",
        "square",
        image_id="im-1",
        resources=Resources(1500, 0, 512, 1024, gpus=[GpuRequest("A100-80GB", 2)]),
        batching=Batching(8, 100),
        schedule=Schedule(hours=1),
        web=WebSpec("fastapi", "POST", requires_proxy_auth=True),
    )
    with asked(lambda _: FunctionInspected("ap-1", "shop", "main", spec, {"": ["http://here/square"]})):
        info = square.info()
    assert (info.cpu, info.memory_mib, info.gpus) == (1.5, (512, 1024), [("A100-80GB", 2)])
    assert info.batching_info == types.FunctionInfo.BatchingInfo(8, 100)
    assert info.concurrency_info is None
    assert info.schedule == "Period(hours=1)"
    assert info.web_info == types.FunctionInfo.WebInfo("http://here/square", "POST", False)


def test_a_class_says_what_its_methods_are() -> None:
    methods = [MethodSpec("plain"), MethodSpec("page", web=WebSpec("asgi"))]
    spec = FunctionSpec("fu-1", "Model.*", "m", "Model", class_spec=ClassSpec(methods))
    with asked(lambda _: FunctionInspected("ap-1", "shop", "main", spec, {"page": ["http://here/"]})):
        info = square.info()
    assert info.method_names == ["plain", "page"]
    assert info.method_details == {"page": types.FunctionInfo.WebInfo("http://here/", None, True)}


@pytest.mark.parametrize(
    ("schedule", "written"),
    [
        (Schedule(cron="0 6 * * *"), 'Cron("0 6 * * *")'),
        (Schedule(cron="0 6 * * *", timezone="Europe/Oslo"), 'Cron("0 6 * * *", timezone="Europe/Oslo")'),
        (Schedule(days=1, seconds=2.5), "Period(days=1, seconds=2.5)"),
    ],
)
def test_a_schedule_is_written_as_it_was(schedule: Schedule, written: str) -> None:
    assert written_schedule(schedule) == written
