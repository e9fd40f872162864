"""What Ionian's calls return, as Modal's `modal.types` names it: for annotations, and to look up what is in them."""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from .call_graph import InputInfo, InputStatus
from .logs import LogEntry
from .named_object import ObjectDetails as DictInfo
from .named_object import ObjectDetails as QueueInfo
from .named_object import ObjectDetails as SecretInfo
from .named_object import ObjectDetails as VolumeInfo
from .scaling import FunctionAutoscalerSettings, FunctionCurrentStats
from .volume_files import FileEntry, FileEntryType

if TYPE_CHECKING:
    from decimal import Decimal

__all__ = [
    "AppInfo",
    "AppLifecycle",
    "AppState",
    "AppStats",
    "BillingReportItem",
    "DictInfo",
    "EnvironmentBillingSummary",
    "FileEntry",
    "FileEntryType",
    "FunctionAutoscalerSettings",
    "FunctionCurrentStats",
    "FunctionInfo",
    "FunctionStats",
    "InputInfo",
    "InputStatus",
    "LogEntry",
    "QueueInfo",
    "SecretInfo",
    "StatsPercentile",
    "StatsPercentileDistribution",
    "VolumeInfo",
    "VolumeMountInfo",
]


class AppState(str, enum.Enum):
    """How an app is."""

    EPHEMERAL = "ephemeral"
    DETACHED = "detached"
    DEPLOYED = "deployed"
    STOPPING = "stopping"  # never here: Modal's
    STOPPED = "stopped"
    INITIALIZING = "initializing"
    DISABLED = "disabled"  # never here: Modal's


@dataclass
class AppLifecycle:
    """When what happened to an app, and who did it; None: it has not happened, or it isn't known who."""

    state: AppState
    version: int | None
    created_at: datetime
    created_by: str
    deployed_at: datetime | None
    deployed_by: str | None
    stopped_at: datetime | None
    stopped_by: str | None


@dataclass(frozen=True)
class AppInfo:
    """What an app is: `App.info()`."""

    app_id: str
    description: str
    lifecycle: AppLifecycle
    functions: dict[str, str]  # name → id
    servers: dict[str, str]


@dataclass(frozen=True)
class StatsPercentile:
    """A percentile, 0 to 100, and its value."""

    percentile: float
    value: float


@dataclass(frozen=True)
class StatsPercentileDistribution:
    """How a number is spread."""

    unit: str
    percentiles: list[StatsPercentile]


@dataclass(frozen=True)
class FunctionStats:
    """What a function did from one time to before another: `Function.stats()`."""

    since: datetime
    until: datetime
    input_success_count: int
    input_failure_count: int
    input_timeout_count: int
    input_running_at_end_count: int
    input_percentile_stats: dict[str, StatsPercentileDistribution]
    container_started_count: int
    container_error_count: int
    container_creating_at_end_count: int
    container_percentile_stats: dict[str, StatsPercentileDistribution]
    container_total_count: int
    variant_count: int
    all_variants: bool
    input_cancelled_count: int = 0


@dataclass(frozen=True)
class TimeSeriesPoint:
    """A value of a series, and when its step begins, in UTC. None: nothing is known."""

    time: datetime
    value: float | None


@dataclass(frozen=True)
class MetricSeries:
    """The values of a series, in the order of time."""

    name: str
    unit: str
    aggregation: str  # how what is in a step is put together: count, max, p50 …
    points: list[TimeSeriesPoint]
    description: str = ""


@dataclass(frozen=True)
class MetricDefinition:
    """What a series is."""

    name: str
    unit: str
    description: str


@dataclass(frozen=True)
class MetricsSchema:
    """A group of series."""

    name: str
    definitions: list[MetricDefinition]


@dataclass(frozen=True)
class ObjectMetrics:
    """What a function did, step by step: `Function.metrics.export()`. A series by its name: `metrics["containers_max"]`."""

    object_id: str
    since: datetime
    until: datetime
    bucket_size: timedelta
    point_count: int
    series: dict[str, MetricSeries]

    def __getitem__(self, name: str) -> MetricSeries:
        return self.series[name]


@dataclass(frozen=True)
class AppStats:
    """What an app did from one time to before another: `App.stats()`."""

    @dataclass(frozen=True)
    class CallCounts:
        """Inputs that have ended; each of a map counts."""

        total: int
        succeeded: int
        failed: int
        cancelled: int = 0  # not among the total

    @dataclass(frozen=True)
    class ContainerCounts:
        """Containers that were there, and those that ended otherwise than they were asked to."""

        errors: int
        total: int

    @dataclass(frozen=True)
    class FunctionCounts:
        """Inputs and containers of a function."""

        calls: AppStats.CallCounts
        containers: AppStats.ContainerCounts

    @dataclass(frozen=True)
    class FunctionStats:
        """A function's id and counts."""

        object_id: str
        counts: AppStats.FunctionCounts

    @dataclass(frozen=True)
    class RequestCounts:
        """Requests of a server class."""

        total: int
        ok: int
        failed: int

    @dataclass(frozen=True)
    class ServerCounts:
        """Requests and containers of a server class."""

        requests: AppStats.RequestCounts
        containers: AppStats.ContainerCounts

    @dataclass(frozen=True)
    class ServerStats:
        """A server class's id and counts."""

        object_id: str
        counts: AppStats.ServerCounts

    @dataclass(frozen=True)
    class FunctionStatsGroup(Mapping[str, Any]):
        """The functions that the app has now, by name, and their sum."""

        total: AppStats.FunctionCounts
        by_name: dict[str, AppStats.FunctionStats]

        def __getitem__(self, name: str) -> AppStats.FunctionStats:
            return self.by_name[name]

        def __iter__(self) -> Iterator[str]:
            return iter(self.by_name)

        def __len__(self) -> int:
            return len(self.by_name)

    @dataclass(frozen=True)
    class ServerStatsGroup(Mapping[str, Any]):
        """Its server classes, of which Ionian has none yet."""

        total: AppStats.ServerCounts
        by_name: dict[str, AppStats.ServerStats]

        def __getitem__(self, name: str) -> AppStats.ServerStats:
            return self.by_name[name]

        def __iter__(self) -> Iterator[str]:
            return iter(self.by_name)

        def __len__(self) -> int:
            return len(self.by_name)

    @dataclass(frozen=True)
    class SandboxCounts:
        """Its sandboxes, of which Ionian has none yet."""

        total: int
        finished: int
        live: int

    since: datetime
    until: datetime
    functions: FunctionStatsGroup
    servers: ServerStatsGroup
    sandboxes: SandboxCounts
    lifecycle: AppLifecycle
    deployment_count: int | None


@dataclass(frozen=True)
class VolumeMountInfo:
    """A volume that a function mounts."""

    name: str | None
    volume_id: str | None
    read_only: bool
    sub_path: str | None


@dataclass(frozen=True)
class FunctionInfo:
    """What a function is: `Function.info()`. What Ionian has no notion of (regions, clouds) is None or False."""

    @dataclass(frozen=True)
    class WebInfo:
        """A web endpoint."""

        web_url: str
        method: str | None  # of a fastapi_endpoint
        unauthenticated: bool

    @dataclass(frozen=True)
    class ImageInfo:
        """The image of its containers."""

        image_name: str | None
        image_id: str | None

    @dataclass(frozen=True)
    class ClusterInfo:
        """Containers that work together."""

        size: int
        rdma: bool
        fabric_size: int | None

    @dataclass(frozen=True)
    class BatchingInfo:
        """What `@modal.batched` says."""

        max_batch_size: int
        wait_ms: int

    @dataclass(frozen=True)
    class ConcurrencyInfo:
        """What `@modal.concurrent` says."""

        max_inputs: int | None
        target_inputs: int | None

    cpu: float | tuple[float, float] | None  # cores: the request, or request and limit
    memory_mib: int | tuple[int, int] | None
    gpus: list[tuple[str, int]]
    ephemeral_disk_mib: int | None
    image_info: ImageInfo
    startup_timeout: int | None
    timeout: int
    max_retries: int | None
    nonpreemptible: bool
    regions: list[str] | None
    routing_region: str | None
    cloud: str | None
    cluster_info: ClusterInfo | None
    batching_info: BatchingInfo | None
    concurrency_info: ConcurrencyInfo | None
    schedule: str | None
    restrict_modal_access: bool
    block_network: bool
    single_use_containers: bool
    volumes: dict[str, VolumeMountInfo]  # by path
    cloud_bucket_mounts: dict[str, Any]
    secrets: list[str]  # ids
    web_info: WebInfo | None
    method_names: list[str] | None  # of a class
    method_details: dict[str, WebInfo] | None  # of its methods that answer web requests


def __getattr__(name: str) -> Any:
    """Types of what comes later: they say so when they are used."""
    from . import later

    reason = later.NAMES.get(f"types.{name}")
    if reason is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return later.Later(f"types.{name}", reason)


@dataclass(frozen=True)
class BillingReportItem:
    """What one app cost in one day or hour: an item of `Environment.billing.report(…)`. Its fields are keys, too."""

    object_id: str
    description: str
    environment_name: str
    interval_start: datetime
    cost: Decimal
    cost_by_resource: dict[str, Decimal]  # "CPU", "Memory", models of GPUs
    tags: dict[str, str]

    def __getitem__(self, key: str) -> Any:
        return dict(self.items())[key]

    def keys(self) -> Iterator[str]:
        """The names of the fields."""
        return (field.name for field in fields(self))

    def values(self) -> Iterator[Any]:
        """Their values."""
        return (getattr(self, name) for name in self.keys())

    def items(self) -> Iterator[tuple[str, Any]]:
        """Both."""
        return ((name, getattr(self, name)) for name in self.keys())


@dataclass(frozen=True)
class EnvironmentBillingSummary:
    """What an environment cost in a calendar month: `Environment.billing.summary()`."""

    start: datetime
    end: datetime
    metered_cost: Decimal
    metered_cost_breakdown: dict[str, Decimal]
