"""The retries that spawned inputs have used: kept, so that the next start of the server counts on from there."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ...core.actions import Tried
from ...protocol.batch import Batch
from ..store.call_tries import NewTry, Used


class Tries:
    """What inputs without a result have used. Nothing is written for an input that does not fail."""

    def __init__(self, found: dict[str, dict[int, Used]], put: Callable[[NewTry], None]) -> None:
        self._calls = found
        self._put = put

    def of(self, call_id: str) -> Mapping[int, tuple[int, int]]:
        """What the inputs of a call have used."""
        return self._calls.get(call_id, {})

    def tried(self, action: Tried) -> None:
        """An input is tried again."""
        used = Used(action.retries, action.attempt)
        self._calls.setdefault(action.call_id, {})[action.index] = used
        self._put(NewTry(action.call_id, action.index, used))

    def ended(self, batch: Batch) -> None:
        """Inputs have their results, which are to be written."""
        of_call = self._calls.get(batch.call_id)
        if of_call is None:
            return
        for index in batch.index:
            if of_call.pop(index, None) is not None:
                self._put(NewTry(batch.call_id, index, None))
        if not of_call:
            del self._calls[batch.call_id]

    def over(self, call_id: str) -> None:
        """A call is over."""
        self._calls.pop(call_id, None)
