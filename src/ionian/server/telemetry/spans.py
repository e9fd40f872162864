"""The spans of a call, made of the times that the server has: pure, so that they can be looked at without a collector."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from ...protocol.batch import BLOB, ERROR, LOST
from ...protocol.traces import TraceContext, derived_span_id, run_span_id
from ..starts import PARTS

Value = str | int | float | bool

BEHIND_THE_START = "first input"
"""A part of a start that is the run of an input already."""


@dataclass(slots=True)
class Span:
    """One span, in the words of OpenTelemetry; times in seconds since 1970."""

    name: str
    trace_id: int
    span_id: int
    parent_id: int  # 0: it is the root
    began: float
    ended: float
    kind: Literal["server", "internal"] = "internal"
    attributes: dict[str, Value] = field(default_factory=dict[str, Value])
    error: str = ""


@dataclass(slots=True)
class ContainerStart:
    """How a container started that an input waited for."""

    container_id: str
    began: float  # seconds since 1970
    kind: str
    parts: dict[str, float]

    @property
    def ready(self) -> float:
        """When it could run inputs."""
        return self.began + sum(took for part, took in self.parts.items() if part != BEHIND_THE_START)


@dataclass(slots=True)
class Run:
    """One run of an input."""

    attempt: int
    container_id: str
    sent: float
    began: float = 0.0
    ended: float = 0.0  # 0: nothing was heard of it
    code: int = 0


@dataclass(slots=True)
class Input:
    """An input of a traced call."""

    arrived: float
    runs: list[Run] = field(default_factory=list[Run])
    start: ContainerStart | None = None  # of a container that it waited for


@dataclass(slots=True)
class Traced:
    """A call that is traced."""

    call_id: str
    name: str
    attributes: dict[str, Value]
    trace_id: int
    parent_id: int
    began: float
    ended: float = 0.0
    inputs: dict[int, Input] = field(default_factory=dict[int, Input])  # that have no result yet
    arrived: int = 0
    failed: int = 0
    starts: set[str] = field(default_factory=set[str])  # containers whose start has a span in it

    @property
    def span_id(self) -> int:
        """That of its own span."""
        return derived_span_id("call", self.call_id)

    def context_of(self, index: int, attempt: int) -> TraceContext:
        """The span of a run of one of its inputs, for what is called in it."""
        return TraceContext(self.trace_id, run_span_id(self.call_id, index, attempt), True)


def failed(code: int) -> bool:
    """Whether a result is a failure."""
    return code & ~BLOB in (ERROR, LOST)


def of_call(call: Traced) -> Span:
    """The span of the call itself, from its beginning until its last result."""
    attributes = {**call.attributes, "ionian.inputs": call.arrived}
    error = f"{call.failed} of its inputs failed" if call.failed > 1 else "it failed" if call.failed else ""
    return Span(
        call.name,
        call.trace_id,
        call.span_id,
        call.parent_id,
        call.began,
        max(call.began, call.ended),
        "server",
        attributes,
        error,
    )


def of_input(call: Traced, index: int, one: Input) -> list[Span]:
    """How an input waited, for which container, and how it ran, each time."""
    about: dict[str, Value] = {**call.attributes, "ionian.input.index": index}
    spans: list[Span] = []
    since, number = one.arrived, 0
    for number, run in enumerate(one.runs):
        began = max(run.began or run.sent, run.sent)
        waited = Span(
            "queued",
            call.trace_id,
            derived_span_id("queued", call.call_id, index, number),
            call.span_id,
            min(since, began),
            began,
            attributes=about,
        )
        spans.append(waited)
        if not number and one.start is not None:
            spans += _of_start(one.start, waited)
        since = max(began, run.ended)
        attributes = {**about, "ionian.container": run.container_id, "ionian.attempt": run.attempt}
        error = "" if run.ended and not failed(run.code) else "it failed" if run.ended else "it has no result"
        spans.append(
            Span(
                "run",
                call.trace_id,
                run_span_id(call.call_id, index, run.attempt),
                call.span_id,
                began,
                since,
                attributes=attributes,
                error=error,
            )
        )
    return spans


def _of_start(start: ContainerStart, waited: Span) -> list[Span]:
    """The start of a container and its parts, which follow one another."""
    own = derived_span_id("start", start.container_id, waited.span_id)
    attributes: dict[str, Value] = {
        **waited.attributes,
        "ionian.container": start.container_id,
        "ionian.start": start.kind,
    }
    spans = [
        Span(
            "start container",
            waited.trace_id,
            own,
            waited.span_id,
            start.began,
            start.ready,
            attributes=attributes,
        )
    ]
    at = start.began
    for part in PARTS:
        if part == BEHIND_THE_START or part not in start.parts:
            continue
        ends = at + start.parts[part]
        span_id = derived_span_id("start", part, own)
        spans.append(Span(part, waited.trace_id, span_id, own, at, ends, attributes=attributes))
        at = ends
    return spans
