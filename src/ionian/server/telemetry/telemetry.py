"""Whether anything is exported, as the standard variables of OpenTelemetry say, and what that has done so far."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from prometheus_client.core import CounterMetricFamily, Metric
from prometheus_client.registry import Collector

from .exporter import Exporter
from .log_export import LogExport, Receiver
from .log_file import FileBounds, LogFile
from .spans import Span
from .traces import Traces

if TYPE_CHECKING:
    from ..engine import Engine
    from ..handlers.context import Context
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
        receivers: dict[str, Receiver] = {}
        if wanted("logs", environment) and installed():
            from .open_telemetry import LogReceiver

            receivers["collector"] = LogReceiver()
        if path := environment.get("IONIAN_LOGS_EXPORT_FILE"):
            receivers["file"] = LogFile(Path(path), FileBounds.of_environment())
        self._receivers = receivers
        self._logs: list[LogExport] = []

    def start(self, context: Context) -> None:
        """Exports logs from now on."""
        files = context.logbook.files

        def named(app_id: str) -> tuple[str, str]:
            app = context.store.apps.find(app_id)
            return (app.name, app.environment) if app is not None else ("", "")

        for to, receiver in self._receivers.items():
            place = context.state.root / f"logs-exported-{to}.json"
            export = LogExport(to, files, named, receiver, place)
            context.logbook.kept.append(export.kept)
            files.deleting.append(export.deleted)
            self._logs.append(export)
            export.start()
            log.info("logs of apps are exported to=%s", to)

    def stop(self) -> None:
        """Exports what is left. Blocks for a few seconds at most."""
        for export in self._logs:
            export.stop()
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
        if self._logs:
            exported = CounterMetricFamily(
                "ionian_log_lines_exported", "Lines of apps that a receiver has.", labels=("to",)
            )
            dropped = CounterMetricFamily(
                "ionian_log_lines_dropped", "Lines that were deleted before it took them.", labels=("to",)
            )
            for export in self._logs:
                exported.add_metric((export.to,), export.exported)
                dropped.add_metric((export.to,), export.dropped)
            yield exported
            yield dropped


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
