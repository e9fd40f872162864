"""What a function did as series over time: which there are, and what is asked of them."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Series:
    """A series by its name, whose end says how what is in one step is put together: summed, the most, a percentile."""

    name: str
    unit: str
    description: str


def _spread(name: str, description: str) -> list[Series]:
    words = {"p50": "half of them at most", "p90": "nine of ten at most", "p99": "99 of 100 at most"}
    return [Series(f"{name}_{end}", "s", f"{description}: {word}") for end, word in words.items()]


GROUPS: dict[str, list[Series]] = {
    "calls": [
        Series("successful_calls_count", "calls", "Inputs that succeeded"),
        Series("failed_calls_count", "calls", "Inputs that failed"),
        Series("timed_out_calls_count", "calls", "Inputs that ran too long"),
        Series("cancelled_calls_count", "calls", "Inputs that were cancelled, or ended with their app"),
        Series("running_calls_max", "calls", "Inputs that ran at the end of a minute, the most"),
        Series("waiting_calls_max", "calls", "Inputs that waited for a container, the most"),
        *_spread("execution_time", "How long inputs ran"),
        *_spread("end_to_end_latency", "How long callers waited for a result"),
    ],
    "containers": [
        Series("started_containers_count", "containers", "Containers that were started"),
        Series(
            "failed_containers_count", "containers", "Containers that ended otherwise than they were asked to"
        ),
        Series("containers_max", "containers", "Containers that were there, the most"),
        *_spread("startup_time", "How long containers took to start"),
    ],
}
"""All series, by the group in which they are."""

WIDTHS_S = tuple(60 * minutes for minutes in (1, 2, 3, 4, 5, 6, 10, 12, 15, 20, 30)) + tuple(
    3600 * hours for hours in (1, 2, 3, 4, 8, 12, 24)
)
"""How long a step may be."""

MOST_STEPS = 500


@dataclass
class MeasureSeries:
    """What a function did, step by step; with `all_variants`, its variants too. Answered with SeriesMeasured."""

    function_id: str
    first: int  # the minute, since 1970, in which the first step begins,
    steps: int
    minutes: int  # of each step
    groups: list[str] = field(default_factory=list[str])
    all_variants: bool = False


@dataclass
class SeriesMeasured:
    """A value for each step, by series; None: nothing is known, as how long something took that did not happen."""

    values: dict[str, list[float | None]] = field(default_factory=dict[str, "list[float | None]"])
