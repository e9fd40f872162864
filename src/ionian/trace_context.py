"""The span in which this code runs, where the user's program uses OpenTelemetry. It is asked for only if the program has
loaded it: who does not use it pays a look into a dict."""

from __future__ import annotations

import sys


def traceparent() -> str:
    """The current span as a `traceparent`; "" where there is none."""
    api = sys.modules.get("opentelemetry.trace")
    if api is None:
        return ""
    try:
        context = api.get_current_span().get_span_context()
        if not context.is_valid:
            return ""
        return f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"
    except AttributeError:  # it is being imported just now, or is something else of that name
        return ""
