"""What a function did as series over time: MeasureSeries."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from ionian.protocol.metrics import GROUPS, MOST_STEPS, MeasureSeries, SeriesMeasured
from ionian.protocol.stream import Refused

from ..auth import Actor
from ..durations import merged, percentiles
from ..store.counts import Counted
from .context import Context
from .statistics import function_measured

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
    by_step: list[list[Counted]] = [[] for _ in range(message.steps)]
    for row in rows:
        if message.all_variants or row.function_id == message.function_id:
            by_step[(row.minute - message.first) // message.minutes].append(row)
    names = [one.name for group in message.groups or GROUPS for one in GROUPS[group]]
    return SeriesMeasured({name: [value(name, step) for step in by_step] for name in names}), b""


def value(name: str, rows: Rows) -> float | None:
    """The value of a series in one step."""
    if name in SUMS:
        return float(sum(map(SUMS[name], rows)))
    if name in MOSTS:
        return float(most(rows, MOSTS[name]))
    stem, _, place = name.rpartition("_p")
    return percentiles(merged(map(SPREADS[stem], rows)), (float(place),)).get(float(place))


def most(rows: Rows, number: Callable[[Counted], int]) -> int:
    """The most in a minute, of a function and its variants together. Two starts of the server may share a minute."""
    minutes: dict[int, dict[str, int]] = {}
    for row in rows:
        minute = minutes.setdefault(row.minute, {})
        minute[row.function_id] = max(minute.get(row.function_id, 0), number(row))
    return max((sum(minute.values()) for minute in minutes.values()), default=0)
