"""Inputs that ended in a failure for good, kept so that `ionian replay` can run them again."""

from __future__ import annotations

from ..protocol.batch import BLOB
from .actions import Failed
from .call import Call
from .state import Core

A_MINUTE_S = 60.0
MOST_A_MINUTE = 100
"""Of each function: a broken one fails a million times in the same way."""

LARGEST = 2 << 20
"""Bytes of an input: what is larger travels as a blob's name."""


class FailedInputs:
    """Says which inputs have failed for good, with their payloads, before these are let go."""

    def __init__(self, core: Core) -> None:
        self.core = core
        self._minutes: dict[str, tuple[float, int]] = {}  # function → when its minute began, how many since

    def record(self, now: float, call: Call, parts: list[tuple[int, int]], code: int, failure: bytes) -> None:
        """Inputs end in this failure. To be said before the call lets go of them."""
        function_id = call.function.spec.function_id
        for start, stop in parts:
            for index in range(start, stop):
                began, count = self._minutes.get(function_id, (now, 0))
                if now - began >= A_MINUTE_S:
                    began, count = now, 0
                if count >= MOST_A_MINUTE:
                    return
                input = call.payload_of(index)
                if input is None or len(input[1]) > LARGEST:
                    continue
                self._minutes[function_id] = (began, count + 1)
                payload = bytes(input[1])
                self.core.actions.append(
                    Failed(call.id, index, function_id, input[0] & BLOB, payload, code, failure)
                )

    def forget(self, function_id: str) -> None:
        """The function is no more."""
        self._minutes.pop(function_id, None)
