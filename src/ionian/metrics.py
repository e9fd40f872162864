"""What a function did as series over time: `Function.metrics`."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from typing import Any

from .arguments import flag, wrong
from .blocking import BlockingMethod
from .exception import InvalidError
from .types import MetricDefinition, MetricSeries, MetricsSchema, ObjectMetrics, TimeSeriesPoint

AIM = 100
"""A step is as long as it must be for so many of them, unless it is given."""


class FunctionMetricsManager:
    """What a function did, step by step.

    ```python
    metrics = square.metrics.export(bucket_size=timedelta(minutes=5), groups=["calls"])
    for point in metrics["successful_calls_count"].points:
        print(point.time, point.value)
    ```
    """

    def __init__(self, function_id: Callable[[], str]) -> None:
        self._function_id = function_id

    @BlockingMethod
    def schema(self, groups: list[str] | None = None) -> dict[str, MetricsSchema]:
        """The series that there are, by group. Raises InvalidError for a group that is none."""
        from .protocol.metrics import GROUPS

        return {
            name: MetricsSchema(
                name, [MetricDefinition(one.name, one.unit, one.description) for one in GROUPS[name]]
            )
            for name in chosen(groups)
        }

    @BlockingMethod
    def export(
        self,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        bucket_size: timedelta | None = None,
        groups: list[str] | None = None,
        all_variants: bool = False,
    ) -> ObjectMetrics:
        """The values of series between two times.

        Args:
            since: the begin of the time; None: an hour before `until`. A time without a zone is local.
            until: the end of it; None: now. At most 7 days after `since`.
            bucket_size: how long a step is: whole minutes. None: what gives up to 100 steps. There are 500 at most.
            groups: `"calls"`, `"containers"`; None: all.
            all_variants: what the function did with other options or parameters, too.

        Both times are rounded down to where a step begins, so the step that is under way is left out. A value is None where
        nothing is known: how long something took that did not happen. Raises InvalidError for a wrong argument.
        """
        from . import link
        from .protocol.metrics import GROUPS, MeasureSeries

        flag("all_variants", all_variants)
        names = chosen(groups)
        first, steps, width_s = steps_of(since, until, bucket_size)
        function_id = self._function_id()
        message = MeasureSeries(function_id, first // 60, steps, width_s // 60, names, all_variants)
        values = link.current().request(message)[0].values
        times = [_moment(first + at * width_s) for at in range(steps)]
        series = {
            one.name: MetricSeries(
                one.name,
                one.unit,
                one.name.rpartition("_")[2],
                [TimeSeriesPoint(*point) for point in zip(times, values[one.name], strict=True)],
                one.description,
            )
            for group in names
            for one in GROUPS[group]
        }
        until_at = _moment(first + steps * width_s)
        width = timedelta(seconds=width_s)
        return ObjectMetrics(function_id, _moment(first), until_at, width, steps * len(series), series)


def chosen(groups: Any) -> list[str]:
    """The groups of series that are asked for. Raises InvalidError."""
    from .protocol.metrics import GROUPS

    if groups is None:
        return list(GROUPS)
    expected = f"a list with some of {', '.join(map(repr, GROUPS))}"
    if not isinstance(groups, list):
        raise wrong("groups", expected, groups)
    for group in groups:  # pyright: ignore[reportUnknownVariableType]
        if group not in GROUPS:
            raise wrong("groups", expected, group)
    return groups or list(GROUPS)  # pyright: ignore[reportUnknownVariableType]


def steps_of(since: datetime | None, until: datetime | None, bucket_size: Any) -> tuple[int, int, int]:
    """Where the first step begins, in seconds since 1970, how many there are, and how long each is. Raises InvalidError."""
    from .protocol.metrics import MOST_STEPS, WIDTHS_S
    from .statistics import window

    since_at, until_at = window(since, until)
    if bucket_size is None:
        width = next(each for each in WIDTHS_S if (until_at - since_at) / each <= AIM or each == WIDTHS_S[-1])
    else:
        if not isinstance(bucket_size, timedelta):
            raise wrong("bucket_size", "a timedelta", bucket_size)
        width = int(bucket_size.total_seconds())
        if width < 60 or width % 60 or width != bucket_size.total_seconds():
            raise InvalidError(f"bucket_size: expected whole minutes, at least one, got {bucket_size}")
    first = int(since_at) // width * width
    steps = int(until_at) // width - first // width
    if steps > MOST_STEPS:
        raise InvalidError(
            f"bucket_size: expected one that gives at most {MOST_STEPS} steps, got {bucket_size}, which gives {steps}"
        )
    return first, steps, width


def _moment(at: int) -> datetime:
    return datetime.fromtimestamp(at, timezone.utc)
