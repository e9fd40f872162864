"""Numbers for Prometheus: how containers started, and what is there now. `/metrics` shows them to a client's token.

They are of this start of the server; Prometheus keeps what was before.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from ..core.function import Function
from ..protocol.usage import Reading
from ..protocol.workers import Start

TEXT = "text/plain; version=0.0.4; charset=utf-8"

SECONDS = (
    0.001,
    0.002,
    0.004,
    0.006,
    0.008,
    0.012,
    0.02,
    0.035,
    0.06,
    0.1,
    0.2,
    0.5,
    1,
    2,
    5,
    10,
    30,
    60,
    300,
)
"""Buckets: as fine as the goals of issue 5 where templates are, and up to a slow import."""

BUILD_OUTCOMES = ("built", "cached", "failed", "stopped")
"""cached: all of the image was there already. stopped: nobody waited for it any more."""

BUILD_SECONDS = (0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800, 3600)

STORE_SECONDS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1, 5, 30)
"""From a disk with a cache that survives a loss of power to one that somebody else keeps busy."""


class FunctionsNow(Collector):
    """What each function has at this moment: looked up when somebody asks, so that no call pays for it."""

    def __init__(self, functions: Callable[[], Iterable[Function]]) -> None:
        self._functions = functions

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """A value of each function."""
        labels = ("environment", "app", "function")
        waiting = GaugeMetricFamily(
            "ionian_inputs_waiting", "Inputs that wait for a container.", labels=labels
        )
        running = GaugeMetricFamily("ionian_inputs_running", "Inputs that a container has.", labels=labels)
        there = GaugeMetricFamily("ionian_function_containers", "Containers of a function.", labels=labels)
        found: dict[tuple[str, str, str], list[int]] = {}
        for function in self._functions():  # a variant counts as its function
            of = (function.environment, function.app_id, function.spec.tag)
            numbers = found.setdefault(of, [0, 0, 0])
            numbers[0] += function.queued
            numbers[1] += function.running
            numbers[2] += len(function.containers)
        for of, numbers in found.items():
            for family, number in zip((waiting, running, there), numbers, strict=True):
                family.add_metric(of, number)
        yield from (waiting, running, there)


class Metrics:
    """Each server has its own."""

    def __init__(
        self,
        workers: Callable[[], int],
        containers: Callable[[], int],
        functions: Callable[[], Iterable[Function]],
        *others: Collector,
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(FunctionsNow(functions))
        for collector in others:
            self._registry.register(collector)
        self._parts = Histogram(
            "ionian_container_start_part_seconds",
            "One part of the start of a container, by how it came to be.",
            ("kind", "part"),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._starts = Histogram(
            "ionian_container_start_seconds",
            "From the decision to start a container to its first input, or until it was ready where none came.",
            ("kind",),
            buckets=SECONDS,
            registry=self._registry,
        )
        self._fallbacks = Counter(
            "ionian_fork_fallbacks",
            "Containers whose fork of a template did not start, and that a plain start replaced.",
            registry=self._registry,
        )
        self._builds = Counter(
            "ionian_builds", "Builds of images, by how they ended.", ("outcome",), registry=self._registry
        )
        for outcome in BUILD_OUTCOMES:
            self._builds.labels(outcome)
        self._build_s = Histogram(
            "ionian_build_seconds",
            "How long images took that were built.",
            buckets=BUILD_SECONDS,
            registry=self._registry,
        )
        self._commits = Histogram(
            "ionian_store_transaction_seconds",
            "Transactions that write to the database: their wait for the one before, and themselves with their sync.",
            ("part",),
            buckets=STORE_SECONDS,
            registry=self._registry,
        )
        self._commit_waits, self._commit_works = (self._commits.labels(part) for part in ("waiting", "work"))
        of_line = ("line",)
        self._container_s = self._seconds("ionian_container", "Seconds of containers and templates.", of_line)
        self._core_s = self._seconds("ionian_core", "Core-seconds that are charged.", of_line)
        self._gib_s = self._seconds("ionian_memory_gib", "GiB-seconds of memory that are charged.", of_line)
        self._gpu_s = self._seconds("ionian_gpu", "Seconds of GPUs.", ("line", "model"))
        gauges = (
            ("ionian_workers", "Workers that are connected.", workers),
            ("ionian_containers", "Containers that are there.", containers),
        )
        for name, help, count in gauges:
            Gauge(name, help, registry=self._registry).set_function(count)

    def started(self, start: Start) -> None:
        """A container has started."""
        for part, seconds in start.parts.items():
            self._parts.labels(start.kind, part).observe(seconds)
        self._starts.labels(start.kind).observe(sum(start.parts.values()))
        if start.fallback:
            self._fallbacks.inc()

    def built(self, outcome: str, seconds: float = 0.0) -> None:
        """A build has ended. `outcome`: one of BUILD_OUTCOMES."""
        self._builds.labels(outcome).inc()
        if outcome == "built":
            self._build_s.observe(seconds)

    def committed(self, waited_s: float, took_s: float) -> None:
        """A transaction of the store has ended. Called on any thread."""
        self._commit_waits.observe(waited_s)
        self._commit_works.observe(took_s)

    def used(self, reading: Reading) -> None:
        """A container or template has used more."""
        for line, used in reading.lines.items():
            self._container_s.labels(line).inc(max(0.0, used.wall_s))
            self._core_s.labels(line).inc(max(0.0, used.cpu_s))
            self._gib_s.labels(line).inc(max(0.0, used.memory_gib_s))
            if reading.gpu:
                self._gpu_s.labels(line, reading.gpu).inc(max(0.0, used.gpu_s))

    def _seconds(self, name: str, help: str, labels: tuple[str, ...]) -> Counter:
        return Counter(f"{name}_seconds", help, labels, registry=self._registry)

    def text(self) -> bytes:
        """All of it, as Prometheus reads it."""
        return generate_latest(self._registry)
