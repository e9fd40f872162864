"""Results that the worker makes itself, where it can't bring an input or a result to its place."""

from __future__ import annotations

import json

from ..protocol.batch import LOST, Batch


def failure(message: str) -> bytes:
    """The payload of a result that says why there is none."""
    return json.dumps({"type": "RemoteError", "message": message}).encode()


def lost(batch: Batch, message: str) -> Batch:
    """The inputs of a batch as results that say why there are none."""
    payload, rows = failure(message), len(batch)
    return Batch(
        batch.call_id,
        batch.index,
        [len(payload)] * rows,
        payload * rows,
        attempt=batch.attempt,
        code=[LOST] * rows,
    )
