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
        for function in self._functions():
            of = (function.environment, function.app_id, function.spec.tag)
            waiting.add_metric(of, function.queued)
            running.add_metric(of, function.running)
            there.add_metric(of, len(function.containers))
        yield from (waiting, running, there)


class Metrics:
    """Each server has its own."""

    def __init__(
        self,
        workers: Callable[[], int],
        containers: Callable[[], int],
        functions: Callable[[], Iterable[Function]],
    ) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(FunctionsNow(functions))
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
