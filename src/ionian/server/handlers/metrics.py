"""What a function did as series over time: MeasureSeries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ionian.protocol.metrics import GROUPS, MOST_STEPS, MeasureSeries, SeriesMeasured
from ionian.protocol.stream import Refused

from ..auth import Actor
from ..durations import merged, percentiles
from ..series import by_step, most
from ..store.counts import Counted
from .context import Context, in_thread
from .statistics import SHOWN, function_measured

Rows = Sequence[Counted]

SUMS: dict[str, Callable[[Counted], int]] = {
    "successful_calls_count": lambda row: row.succeeded,
    "failed_calls_count": lambda row: row.failed,
    "timed_out_calls_count": lambda row: row.timed_out,
    "cancelled_calls_count": lambda row: row.cancelled,
    "started_containers_count": lambda row: row.started,
    "failed_containers_count": lambda row: row.container_errors,
}

MOSTS: dict[str, Callable[[Counted], int]] = {
    "running_calls_max": lambda row: row.running,
    "waiting_calls_max": lambda row: row.waiting,
    "containers_max": lambda row: row.containers,
}

SPREADS: dict[str, Callable[[Counted], dict[int, int]]] = {
    "execution_time": lambda row: row.run,
    "end_to_end_latency": lambda row: row.latency,
    "startup_time": lambda row: row.startup,
}


async def measure_series(
    actor: Actor, message: MeasureSeries, _: bytes, context: Context
) -> tuple[SeriesMeasured, bytes]:
    """What a function did, step by step."""
    found = await function_measured(actor, "MeasureSeries", message.function_id, context)
    root = found[1].base_id or found[1].function_id
    if not (0 <= message.steps <= MOST_STEPS and message.minutes >= 1 and message.first >= 0):
        raise Refused("InvalidError", f"expected up to {MOST_STEPS} steps of a minute or more")
    if unknown := sorted(set(message.groups) - set(GROUPS)):
        raise Refused(
            "InvalidError", f"groups: expected some of {', '.join(GROUPS)}, got {unknown[0][:80]!r}"
        )
    until = message.first + message.steps * message.minutes
    rows = await context.durable.engine.counts.minutes(message.first, until, root)
    return SeriesMeasured(await in_thread(_series, message, rows)), b""


def _series(message: MeasureSeries, rows: Rows) -> dict[str, list[float | None]]:
    """The values of each series. Takes its time: a week of a busy function is 10,000 minutes."""
    own = [row for row in rows if message.all_variants or row.function_id == message.function_id]
    each = [_values(step) for step in by_step(own, message.first, message.minutes, message.steps)]
    names = [one.name for group in message.groups or GROUPS for one in GROUPS[group]]
    return {name: [values[name] for values in each] for name in names}


def _values(rows: Rows) -> dict[str, float | None]:
    """The value of every series in one step."""
    values: dict[str, float | None] = {name: float(sum(map(number, rows))) for name, number in SUMS.items()}
    values |= {name: float(most(rows, number)) for name, number in MOSTS.items()}
    for name, spread in SPREADS.items():
        found = percentiles(merged(map(spread, rows)), SHOWN)
        values |= {f"{name}_p{place:g}": found.get(place) for place in SHOWN}
    return values
