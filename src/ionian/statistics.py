"""What apps and functions are, and what they did: from the server's words to those of `modal.types`."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

from .arguments import wrong
from .exception import InvalidError
from .types import (
    AppInfo,
    AppLifecycle,
    AppState,
    AppStats,
    FunctionInfo,
    FunctionStats,
    StatsPercentile,
    StatsPercentileDistribution,
    VolumeMountInfo,
)

if TYPE_CHECKING:
    from .protocol.spec import FunctionSpec, Schedule, WebSpec
    from .protocol.statistics import (
        AppDescription,
        AppMeasured,
        Distribution,
        FunctionCounts,
        FunctionInspected,
        FunctionMeasured,
    )

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

LONGEST_S = 7 * DAY_S
"""Statistics are of so long a time at most: Modal's limit."""

KEPT_S = 8 * DAY_S
"""What happened in each minute is kept for so long."""


def window(since: datetime | None, until: datetime | None) -> tuple[float, float]:
    """The time that statistics are of, in seconds since 1970: the last hour unless something else is given.

    Raises InvalidError, naming the argument.
    """
    now = time.time()
    until_at = now if until is None else _at("until", until)
    since_at = until_at - HOUR_S if since is None else _at("since", since)
    if since_at >= until_at:
        raise InvalidError(f"since: expected a time before until, {_said(until_at)}, got {_said(since_at)}")
    if until_at - since_at > LONGEST_S + 1:
        raise InvalidError(
            f"since: expected at most 7 days before until, {_said(until_at)}, got {_said(since_at)}"
        )
    if since_at < now - KEPT_S:
        raise InvalidError(f"since: expected a time in the last 8 days, got {_said(since_at)}")
    return since_at, until_at


def app_info(app: AppDescription) -> AppInfo:
    """What an app is."""
    return AppInfo(app.app_id, app.name, lifecycle(app), dict(app.functions), {})


def lifecycle(app: AppDescription) -> AppLifecycle:
    """The life of an app."""
    return AppLifecycle(
        AppState(app.state),
        app.version or None,
        _moment(app.created_at),
        app.created_by,
        _moment(app.deployed_at) if app.deployed_at else None,
        app.deployed_by or None,
        _moment(app.stopped_at) if app.stopped_at else None,
        None,
    )


def app_stats(found: AppMeasured, since_at: float, until_at: float) -> AppStats:
    """What an app did."""
    nothing = AppStats.ServerCounts(AppStats.RequestCounts(0, 0, 0), AppStats.ContainerCounts(0, 0))
    return AppStats(
        _moment(since_at),
        _moment(until_at),
        AppStats.FunctionStatsGroup(
            _sum(found.functions),
            {one.tag: AppStats.FunctionStats(one.function_id, _sum([one])) for one in found.functions},
        ),
        AppStats.ServerStatsGroup(nothing, {}),
        AppStats.SandboxCounts(0, 0, 0),
        lifecycle(found.app),
        found.deployments if found.app.version else None,
    )


def _sum(counts: Iterable[FunctionCounts]) -> AppStats.FunctionCounts:
    all_of = list(counts)
    succeeded, failed = sum(one.succeeded for one in all_of), sum(one.failed for one in all_of)
    return AppStats.FunctionCounts(
        AppStats.CallCounts(succeeded + failed, succeeded, failed, sum(one.cancelled for one in all_of)),
        AppStats.ContainerCounts(
            sum(one.container_errors for one in all_of), sum(one.containers for one in all_of)
        ),
    )


def function_stats(
    found: FunctionMeasured, since_at: float, until_at: float, all_variants: bool
) -> FunctionStats:
    """What a function did."""
    return FunctionStats(
        _moment(since_at),
        _moment(until_at),
        found.succeeded,
        found.failed,
        found.timed_out,
        found.running,
        _distributions(found.inputs),
        found.started,
        found.container_errors,
        found.creating,
        _distributions(found.of_containers),
        found.containers,
        found.variants,
        all_variants,
        found.cancelled,
    )


def _distributions(found: Iterable[Distribution]) -> dict[str, StatsPercentileDistribution]:
    return {
        one.name: StatsPercentileDistribution(
            one.unit, [StatsPercentile(float(place), value) for place, value in one.percentiles.items()]
        )
        for one in found
    }


def function_info(found: FunctionInspected) -> FunctionInfo:
    """What a function is."""
    spec = found.spec
    asked, kind = spec.resources, spec.class_spec
    several = spec.concurrency.max_inputs > 1
    return FunctionInfo(
        cpu=_with_limit(asked.cpu_milli / 1000, asked.cpu_limit_milli / 1000),
        memory_mib=_with_limit(asked.memory_mib, asked.memory_limit_mib),
        gpus=[(gpu.model, gpu.count) for gpu in asked.gpus],
        ephemeral_disk_mib=asked.ephemeral_disk_mib or None,
        image_info=FunctionInfo.ImageInfo(None, spec.image_id),
        startup_timeout=int(spec.startup_timeout_s),
        timeout=int(spec.timeout_s),
        max_retries=spec.retries.max_retries if spec.retries is not None else None,
        nonpreemptible=False,
        regions=None,
        routing_region=None,
        cloud=None,
        cluster_info=FunctionInfo.ClusterInfo(spec.cluster_size, spec.rdma, spec.fabric_size or None)
        if spec.cluster_size
        else None,
        batching_info=FunctionInfo.BatchingInfo(spec.batching.max_batch_size, spec.batching.wait_ms)
        if spec.batching is not None
        else None,
        concurrency_info=FunctionInfo.ConcurrencyInfo(
            spec.concurrency.max_inputs, spec.concurrency.target_inputs or None
        )
        if several
        else None,
        schedule=written_schedule(spec.schedule) if spec.schedule is not None else None,
        restrict_modal_access=spec.restricted,
        block_network=spec.block_network,
        single_use_containers=spec.single_use,
        volumes={
            mount.path: VolumeMountInfo(
                found.volumes.get(mount.volume_id), mount.volume_id, mount.read_only, mount.sub_path or None
            )
            for mount in spec.volumes
        },
        cloud_bucket_mounts={},
        secrets=list(spec.secret_ids),
        web_info=_web(spec.web, found.urls.get("", [])) if spec.web is not None else None,
        method_names=[method.name for method in kind.methods] if kind is not None else None,
        method_details=_details(spec, found.urls) if kind is not None else None,
    )


def _with_limit(request: Any, limit: Any) -> Any:
    return (request, limit) if limit else request


def _details(spec: FunctionSpec, urls: Mapping[str, list[str]]) -> dict[str, FunctionInfo.WebInfo]:
    methods = spec.class_spec.methods if spec.class_spec is not None else []
    return {one.name: _web(one.web, urls.get(one.name, [])) for one in methods if one.web is not None}


def _web(web: WebSpec, urls: list[str]) -> FunctionInfo.WebInfo:
    method = web.method if web.kind == "fastapi" else None
    return FunctionInfo.WebInfo(urls[0] if urls else "", method, not web.requires_proxy_auth)


def written_schedule(schedule: Schedule) -> str:
    """A schedule as a person writes it: `Cron("0 6 * * *", timezone="UTC")`, `Period(hours=1)`."""
    if schedule.cron:
        zone = f', timezone="{schedule.timezone}"' if schedule.timezone != "UTC" else ""
        return f'Cron("{schedule.cron}"{zone})'
    units = ("years", "months", "weeks", "days", "hours", "minutes", "seconds")
    parts = [f"{unit}={value:g}" for unit in units if (value := getattr(schedule, unit))]
    return f"Period({', '.join(parts)})"


def _at(name: str, at: Any) -> float:
    """A time without a zone is local."""
    if not isinstance(at, datetime):
        raise wrong(name, "a datetime", at)
    return at.timestamp()


def _moment(at: float) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc)


def _said(at: float) -> str:
    return _moment(at).isoformat(" ", "seconds")
