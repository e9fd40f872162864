"""Results that the server makes itself, for inputs that no container will ever have."""

from __future__ import annotations

import json

from ..protocol.batch import LOST, Batch
from ..protocol.stream import Refused

GONE = "its app was stopped, or deployed without it; run or deploy the app again"


def lost(batch: Batch, type: str, message: str) -> Batch:
    """The inputs of a batch as results that say why there are none: an exception of ours and its message."""
    payload, rows = json.dumps({"type": type, "message": message}).encode(), len(batch)
    return Batch(batch.call_id, batch.index, [len(payload)] * rows, payload * rows, code=[LOST] * rows)


def no_function(batch: Batch, function_id: str) -> Batch:
    """The answer to inputs of a function that is not there, or not any more."""
    what = f"there is no function {function_id!r}" if function_id else "the call has ended"
    return lost(batch, "NotFoundError", f"{what}: {GONE}")


def gone(function_id: str) -> Refused:
    """The answer to who asks for a function that is not there, or not any more."""
    return Refused("NotFoundError", f"there is no function {function_id[:80]!r}: {GONE}")
