"""What has been counted since this start of the server, for `/metrics`: totals that only grow, put together from minutes that
are counted anyway, so that no call pays for them."""

from __future__ import annotations

from collections import Counter as Sum
from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import dataclass, field

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from .durations import STEPS, seconds
from .store.counts import Counted

OUTCOMES = ("succeeded", "failed", "timed_out", "cancelled")

GONE_KEPT_MIN = 10
"""Minutes for which a function that is gone is still shown: Prometheus, which asks each minute or so, gets its last numbers."""

OCTAVES = range(7, 34)
"""Bounds of the buckets, in powers of two of a microsecond: from 128 µs to 2.4 hours."""

FUNCTION = ("environment", "app", "function")


@dataclass(slots=True)
class Total:
    """What a function, with its variants, did."""

    labels: tuple[str, str, str]
    minute: int = 0  # the last in which it did anything
    outcomes: Sum[str] = field(default_factory=Sum[str])

    def add(self, one: Counted) -> None:
        """Counts a minute."""
        for outcome in OUTCOMES:
            if count := getattr(one, outcome):
                self.outcomes[outcome] += count


@dataclass(slots=True)
class Everything:
    """What all functions did together, those that are long gone too."""

    outcomes: Sum[str] = field(default_factory=Sum[str])
    started: int = 0
    errors: int = 0
    run: Sum[int] = field(default_factory=Sum[int])
    latency: Sum[int] = field(default_factory=Sum[int])

    def add(self, one: Counted) -> None:
        """Counts a minute."""
        for outcome in OUTCOMES:
            self.outcomes[outcome] += getattr(one, outcome)
        self.started += one.started
        self.errors += one.container_errors
        self.run.update(one.run)
        self.latency.update(one.latency)

    def copy(self) -> Everything:
        """One that may be added to."""
        return Everything(
            self.outcomes.copy(), self.started, self.errors, self.run.copy(), self.latency.copy()
        )


class Totals(Collector):
    """The sums of all minutes that are over; what is asked for has the minute that goes on, too."""

    def __init__(self, going_on: Callable[[], Iterable[Counted]]) -> None:
        """`going_on`: this minute so far."""
        self._going_on = going_on
        self._everything = Everything()
        self._functions: dict[str, Total] = {}

    def counts(self, one: Counted, tag: str) -> None:
        """From now on a minute of a function of this name is counted."""
        total = self._functions.setdefault(one.root_id, Total((one.environment, one.app_id, tag)))
        total.minute = one.minute

    def minute_over(self, counted: Iterable[Counted], minute: int, there: Collection[str]) -> None:
        """A minute has ended. Of functions that are not there any more nothing is kept for long."""
        for one in counted:
            self._everything.add(one)
            self._functions[one.root_id].add(one)
        self._functions = {
            key: total
            for key, total in self._functions.items()
            if key in there or total.minute > minute - GONE_KEPT_MIN
        }

    def collect(self) -> Iterator[Metric]:
        """All of it, at this moment."""
        everything = self._everything.copy()
        functions = {
            key: Total(total.labels, total.minute, total.outcomes.copy())
            for key, total in self._functions.items()
        }
        for one in self._going_on():
            everything.add(one)
            functions[one.root_id].add(one)
        ended = CounterMetricFamily(
            "ionian_inputs_ended", "Inputs of calls that have ended, by how.", labels=("outcome",)
        )
        for outcome in OUTCOMES:
            ended.add_metric((outcome,), everything.outcomes[outcome])
        of_each = CounterMetricFamily(
            "ionian_function_inputs_ended",
            "The same, of each function.",
            labels=(*FUNCTION, "outcome"),
        )
        outcomes: dict[tuple[str, str, str], Sum[str]] = {}
        for total in functions.values():  # one that was left out of a deploy and is back has another id
            outcomes.setdefault(total.labels, Sum[str]()).update(total.outcomes)
        for labels, counts in outcomes.items():
            for outcome, count in counts.items():
                of_each.add_metric((*labels, outcome), count)
        yield ended
        yield of_each
        yield CounterMetricFamily(
            "ionian_containers_started", "Containers that were asked for.", value=everything.started
        )
        yield CounterMetricFamily(
            "ionian_container_errors",
            "Containers that ended otherwise than they were asked to.",
            value=everything.errors,
        )
        yield _histogram("ionian_input_run_seconds", "How long inputs ran.", everything.run)
        yield _histogram(
            "ionian_input_latency_seconds", "How long callers waited for a result.", everything.latency
        )


def _histogram(name: str, help: str, found: Sum[int]) -> HistogramMetricFamily:
    """Buckets of durations as Prometheus wants them: how many up to each bound. The sum is right to 5%, as they are."""
    counts = Sum[int]()
    for place, count in found.items():
        counts[place // STEPS + 1] += count  # the octave in which they end
    below = 0
    buckets: list[tuple[str, float]] = []
    for octave in range(OCTAVES.stop):
        below += counts[octave]
        if octave in OCTAVES:
            buckets.append((str(2**octave / 1e6), below))
    buckets.append(("+Inf", found.total()))
    return HistogramMetricFamily(
        name, help, buckets=buckets, sum_value=sum(seconds(place) * count for place, count in found.items())
    )
