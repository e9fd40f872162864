"""How containers started: the seconds of each part of it, as a line in the container's log and for the lists."""

from __future__ import annotations

from ..protocol.workers import Start

PARTS = ("scheduled", "image", "template", "sandbox", "agent", "imports", "enter", "first input")
"""In the order in which they pass. "agent": the interpreter and ours in it, up to the user's module."""


def measured(start: Start, since_s: float) -> Start:
    """A start whose container is ready so many seconds after it was asked for: what its worker has not seen of it was
    the way there and back, and the queue before the worker."""
    known = {name: seconds for name, seconds in start.parts.items() if name in PARTS and seconds >= 0}
    scheduled = max(0.0, since_s - sum(known.values()))
    return Start(start.kind, {"scheduled": scheduled, **known}, start.why_fresh, start.fallback)


def line(start: Start) -> str:
    """`started from a template in 7.9 ms: scheduled 0.6, sandbox 5.1, agent 0.9, first input 0.3`."""
    how = {"fresh": "started afresh", "template": "started from a template", "restored": "restored"}[
        start.kind
    ]
    reasons = [reason for reason in (start.fallback, start.why_fresh) if reason]
    because = f" ({'; '.join(reasons)})" if reasons else ""
    parts = ", ".join(f"{name} {start.parts[name] * 1e3:.1f}" for name in PARTS if name in start.parts)
    return f"{how} in {sum(start.parts.values()) * 1e3:.1f} ms{because}: {parts}"
