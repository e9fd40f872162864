"""Traces of calls (W3C Trace Context): what travels with a call is a `traceparent`, and the ids of our spans follow from
the ids of calls and inputs, so nobody has to be told them."""

from __future__ import annotations

import re

_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(?:-.*)?")


class TraceContext:
    """A span of a trace, as others name it."""

    __slots__ = ("sampled", "span_id", "trace_id")

    def __init__(self, trace_id: int, span_id: int, sampled: bool) -> None:
        self.trace_id = trace_id
        self.span_id = span_id
        self.sampled = sampled

    def __str__(self) -> str:
        return f"00-{self.trace_id:032x}-{self.span_id:016x}-{int(self.sampled):02x}"


def parse(traceparent: str) -> TraceContext | None:
    """What a `traceparent` names; None for one that is none: by the standard it is as if it were not there."""
    found = _TRACEPARENT.fullmatch(traceparent)
    if found is None or traceparent.startswith("ff"):
        return None
    trace_id, span_id, flags = (int(part, 16) for part in found.groups())
    if not trace_id or not span_id:
        return None
    return TraceContext(trace_id, span_id, bool(flags & 1))


def derived_span_id(*parts: object) -> int:
    """The id of a span that follows from what it is about: equal parts have equal ids."""
    return _digest(parts, 8)


def derived_trace_id(call_id: str) -> int:
    """The id of the trace of a call that was made in none."""
    return _digest((call_id,), 16)


def run_span_id(call_id: str, index: int, attempt: int) -> int:
    """The id of the span of one run of an input: the container and the server know it, each by itself."""
    return derived_span_id("run", call_id, index, attempt)


def _digest(parts: tuple[object, ...], size: int) -> int:
    import hashlib

    text = " ".join([str(part) for part in parts])
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:size], "big") or 1
