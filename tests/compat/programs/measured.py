"""What an app and its functions are, and what they did: however they were called, here and in a container."""

import asyncio
from datetime import datetime, timedelta, timezone

import modal
from modal.types import (
    AppInfo,
    AppState,
    AppStats,
    FunctionCurrentStats,
    FunctionInfo,
    FunctionStats,
    MetricSeries,
    ObjectMetrics,
    TimeSeriesPoint,
)

app = modal.App("measured", image=modal.Image.debian_slim(python_version="3.11"))
data = modal.Volume.from_name("measured-data", create_if_missing=True)


@app.function(
    cpu=(0.25, 2.0), memory=256, timeout=60, retries=2, max_containers=1, volumes={"/data": data.read_only()}
)
@modal.concurrent(max_inputs=4, target_inputs=2)
def half(n: int) -> float:
    if n < 0:
        raise ValueError(n)
    return n / 2


@app.function(timeout=1, startup_timeout=120)
def stays() -> None:
    import time

    time.sleep(60)


@app.function()
def count(n: int):
    yield from range(n)


@app.function()
def looks() -> tuple[int, str]:
    return half.stats().input_success_count, half.info().image_info.image_id or ""


@app.cls(max_containers=1)
class Box:
    size: int = modal.parameter(default=1)

    @modal.method()
    def grow(self, by: int) -> int:
        return self.size + by


def call_all() -> None:
    assert half.remote(2) == 1
    assert list(half.map(range(40))) == [n / 2 for n in range(40)]
    assert half.spawn(8).get() == 4
    assert list(count.remote_gen(3)) == [0, 1, 2]
    assert Box(size=2).grow.remote(1) == 3
    assert half.with_options(timeout=30).remote(6) == 3
    for ends, kind in ((lambda: half.remote(-1), ValueError), (stays.remote, modal.exception.TimeoutError)):
        try:
            ends()
        except kind:
            continue
        raise AssertionError(kind)


def check_function() -> None:
    stats = half.stats()
    assert isinstance(stats, FunctionStats)
    assert (stats.input_success_count, stats.input_failure_count, stats.input_timeout_count) == (42, 1, 0)
    assert (stats.container_total_count, stats.container_started_count, stats.variant_count) == (1, 1, 1)
    assert (stats.input_running_at_end_count, stats.container_error_count) == (0, 0)
    for named in (stats.input_percentile_stats, stats.container_percentile_stats):
        for distribution in named.values():
            assert [each.percentile for each in distribution.percentiles] == [50, 90, 99]
            assert distribution.percentiles[0].value <= distribution.percentiles[2].value
    assert {"Execution time (s)", "End-to-end latency (s)"} == set(stats.input_percentile_stats)
    assert "Startup time (s)" in stats.container_percentile_stats
    everything = half.stats(all_variants=True)
    assert (everything.input_success_count, everything.container_total_count) == (43, 2)
    now = datetime.now(timezone.utc)
    before = half.stats(since=now - timedelta(days=2), until=now - timedelta(days=1))
    assert (before.input_success_count, before.container_total_count, before.until) == (0, 0, before.until)
    assert stays.stats().input_timeout_count == 1
    assert count.stats().input_success_count == 1
    assert isinstance(half.get_current_stats(), FunctionCurrentStats)


def check_series() -> None:
    now, step = datetime.now(timezone.utc), timedelta(minutes=5)
    times = {"since": now - timedelta(hours=1), "until": now + step, "bucket_size": step}
    found = half.metrics.export(**times)
    assert isinstance(found, ObjectMetrics)
    assert (found.object_id, found.bucket_size) == (half.object_id, step)
    succeeded = found["successful_calls_count"]
    assert isinstance(succeeded, MetricSeries)
    assert isinstance(succeeded.points[0], TimeSeriesPoint)
    assert (succeeded.unit, succeeded.aggregation, len(succeeded.points)) == ("calls", "count", 13)
    assert [point.time for point in succeeded.points] == [found.since + step * at for at in range(13)]
    assert sum(point.value for point in succeeded.points) == 42
    assert found["execution_time_p90"].points[0].value is None
    assert found.point_count == 13 * len(found.series)
    all_of = half.metrics.export(**times, groups=["calls"], all_variants=True)
    assert sum(point.value for point in all_of["successful_calls_count"].points) == 43
    assert set(all_of.series) == {one.name for one in half.metrics.schema(["calls"])["calls"].definitions}


def check_app() -> None:
    stats = app.stats()
    assert isinstance(stats, AppStats)
    assert set(stats.functions) == {"half", "stays", "count", "looks", "Box.*"}
    calls = stats.functions["half"].counts.calls
    assert (calls.total, calls.succeeded, calls.failed) == (44, 43, 1)
    assert stats.functions["stays"].counts.calls.failed == 1
    assert stats.functions["Box.*"].counts.calls.succeeded == 1
    total = stats.functions.total
    assert total.calls.total == sum(each.counts.calls.total for each in stats.functions.values())
    assert total.containers.total >= 5
    assert (len(stats.servers), stats.sandboxes.total, stats.deployment_count) == (0, 0, None)
    info = app.info()
    assert isinstance(info, AppInfo)
    assert (info.app_id, info.description) == (app.app_id, "measured")
    assert info.functions["half"] == half.object_id == stats.functions["half"].object_id
    assert info.lifecycle.state == AppState.EPHEMERAL
    assert info.lifecycle.stopped_at is None


def check_info() -> None:
    info = half.info()
    assert isinstance(info, FunctionInfo)
    assert (info.cpu, info.memory_mib, info.gpus, info.timeout) == ((0.25, 2.0), 256, [], 60)
    assert info.max_retries == 2
    assert info.concurrency_info == FunctionInfo.ConcurrencyInfo(4, 2)
    mount = info.volumes["/data"]
    assert (mount.name, mount.read_only, mount.sub_path) == ("measured-data", True, None)
    assert info.web_info is info.schedule is info.method_names is None
    assert half.with_options(timeout=30).info().timeout == 30
    assert Box(size=2).grow.info().method_names == ["grow"]


async def check_twins() -> None:
    assert (await half.stats.aio()).input_success_count == 42
    assert (await half.info.aio()).timeout == 60
    assert (await app.stats.aio()).functions["count"].counts.calls.succeeded == 1
    assert (await app.info.aio()).description == "measured"


@app.local_entrypoint()
def main() -> None:
    call_all()
    check_function()
    check_series()
    check_app()
    check_info()
    asyncio.run(check_twins())
    succeeded, image_id = looks.remote()
    assert (succeeded, image_id[:3]) == (42, "im-")
    print("all as expected")
