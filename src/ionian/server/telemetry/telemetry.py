"""Whether anything is exported, as the standard variables of OpenTelemetry say, and what that has done so far."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from .exporter import Exporter
from .spans import Span
from .traces import Traces

if TYPE_CHECKING:
    from ..engine import Engine
    from .open_telemetry import SpanExport

log = logging.getLogger("ionian.server")

HTTP = "http/protobuf"


class Telemetry(Collector):
    """What one server exports; `traces` is None where it exports none."""

    def __init__(self, engine: Engine, environment: Mapping[str, str] = os.environ) -> None:
        self.traces: Traces | None = None
        self._spans: Exporter[Span] | None = None
        self._export: SpanExport | None = None
        if wanted("traces", environment) and installed():
            from .open_telemetry import Sampling, SpanExport

            self._export = SpanExport()
            self._spans = Exporter("spans", self._export)
            self.traces = Traces(engine, Sampling(), self._spans.put)
            log.info("traces of calls are exported")

    def stop(self) -> None:
        """Exports what is left. Blocks for a few seconds at most."""
        if self._spans is not None and self._export is not None:
            self._spans.stop()
            self._export.stop()

    def collect(self) -> Iterator[Metric]:
        """How much was exported, and how much not."""
        if self._spans is not None:
            yield CounterMetricFamily(
                "ionian_spans_exported", "Spans that the collector has.", value=self._spans.exported
            )
            yield CounterMetricFamily(
                "ionian_spans_dropped", "Spans that it could not be given.", value=self._spans.dropped
            )


def wanted(signal: str, environment: Mapping[str, str]) -> bool:
    """Whether a signal ("traces", "logs") is to be exported: a collector is named, and nothing says otherwise."""
    upper = signal.upper()
    endpoints = ("OTEL_EXPORTER_OTLP_ENDPOINT", f"OTEL_EXPORTER_OTLP_{upper}_ENDPOINT")
    if not any(environment.get(name) for name in endpoints):
        return False
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return False
    if environment.get(f"OTEL_{upper}_EXPORTER", "otlp").strip() != "otlp":
        return False
    names = (f"OTEL_EXPORTER_OTLP_{upper}_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
    protocol = next((environment[name] for name in names if environment.get(name)), HTTP)
    if protocol != HTTP:
        log.warning(
            "no %s are exported: OTEL_EXPORTER_OTLP_PROTOCOL is %r; expected %r, usually at port 4318",
            signal,
            protocol,
            HTTP,
        )
        return False
    return True


def installed() -> bool:
    """Whether OpenTelemetry's SDK is there; says so where it lacks: the variables may be meant for other programs."""
    from importlib.util import find_spec

    try:
        there = find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        there = False
    if not there:
        log.warning(
            "OTEL_EXPORTER_OTLP_ENDPOINT is set, and nothing is exported: install it: pip install 'ionian[otel]'"
        )
    return there
