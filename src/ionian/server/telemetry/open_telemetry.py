"""What is left to the SDK of OpenTelemetry: sampling, and the protocol of collectors (OTLP over HTTP). It is imported only
where it is configured: it takes a third of a second."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from opentelemetry import trace
from opentelemetry._logs import LogRecord
from opentelemetry.context import Context
from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExportResult
from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Status, StatusCode

from ...protocol.traces import TraceContext
from ...version import VERSION
from .log_export import Exported
from .spans import Span

SCOPE = InstrumentationScope("ionian", VERSION)

KINDS = {"server": trace.SpanKind.SERVER, "internal": trace.SpanKind.INTERNAL}

logging.getLogger("opentelemetry").setLevel(logging.CRITICAL)  # of what fails `exporter.py` tells, once


def resource() -> Resource:
    """Who says all this: what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say, else "ionian"."""
    found = Resource.create()
    if str(found.attributes.get(SERVICE_NAME, "")).startswith("unknown_service"):
        found = found.merge(Resource({SERVICE_NAME: "ionian"}))
    return found


class Sampling:
    """Which traces are recorded, as OTEL_TRACES_SAMPLER says; without it all, but those whose caller records none."""

    def __init__(self) -> None:
        self._sampler = TracerProvider(shutdown_on_exit=False).sampler

    def __call__(self, parent: TraceContext | None, trace_id: int, name: str) -> bool:
        """Whether a call is to be traced."""
        context = None
        if parent is not None:
            context = trace.set_span_in_context(trace.NonRecordingSpan(_named(parent, remote=True)))
        kind = trace.SpanKind.SERVER
        return self._sampler.should_sample(context, trace_id, name, kind).decision.is_sampled()


class SpanExport:
    """Sends spans to the collector."""

    def __init__(self) -> None:
        self._exporter = OTLPSpanExporter()
        self._resource = resource()

    def __call__(self, spans: Sequence[Span]) -> bool:
        """Whether the collector has them. Blocks, with a few tries, for OTEL_EXPORTER_OTLP_TIMEOUT at most."""
        made = [self._made(span) for span in spans]
        return self._exporter.export(made) is SpanExportResult.SUCCESS

    def stop(self) -> None:
        """Ends what waits for another try."""
        self._exporter.shutdown()

    def _made(self, span: Span) -> ReadableSpan:
        parent = TraceContext(span.trace_id, span.parent_id, True) if span.parent_id else None
        return ReadableSpan(
            span.name,
            _named(TraceContext(span.trace_id, span.span_id, True)),
            _named(parent, remote=True) if parent is not None else None,
            self._resource,
            span.attributes,
            kind=KINDS[span.kind],
            status=Status(StatusCode.ERROR, span.error) if span.error else Status(StatusCode.UNSET),
            start_time=int(span.began * 1e9),
            end_time=int(span.ended * 1e9),
            instrumentation_scope=SCOPE,
        )


class LogReceiver:
    """Sends lines of apps to the collector."""

    def __init__(self) -> None:
        self._exporter = OTLPLogExporter()
        self._resource = resource()

    def __call__(self, lines: Sequence[Exported]) -> bool:
        """Whether the collector has them. Blocks, with a few tries, for OTEL_EXPORTER_OTLP_TIMEOUT at most."""
        made = [ReadableLogRecord(_record(one), self._resource, SCOPE) for one in lines]
        return self._exporter.export(made) is LogRecordExportResult.SUCCESS

    def stop(self) -> None:
        """Ends what waits for another try."""
        self._exporter.shutdown()


def _record(one: Exported) -> LogRecord:
    line = one.line
    attributes: dict[str, str | int] = {
        "ionian.app": one.app,
        "ionian.app_id": one.app_id,
        "ionian.environment": one.environment,
        "ionian.function": line.function,
        "ionian.container": line.container_id,
        "log.iostream": one.source,
    }
    if line.call_id:
        attributes["ionian.call"] = line.call_id
    if line.index >= 0:
        attributes["ionian.input.index"] = line.index
    return LogRecord(
        timestamp=int(line.at * 1e9), context=Context(), body=line.text.rstrip("\n"), attributes=attributes
    )


def _named(context: TraceContext, *, remote: bool = False) -> trace.SpanContext:
    flags = trace.TraceFlags(int(context.sampled))
    return trace.SpanContext(context.trace_id, context.span_id, remote, flags)
