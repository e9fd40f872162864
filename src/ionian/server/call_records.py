"""Calls that functions made, as far as they are remembered without the store: for call graphs."""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass, field

from ..protocol.batch import BLOB, DONE, ERROR, LOST, OK, YIELD, Batch
from ..protocol.calls import InputStatus
from ..protocol.ids import CALL_ID_LENGTH

MOST_CALLS = 10_000
"""Calls that are remembered, the newest ones; each takes about a kilobyte."""

MOST_INPUTS = 1000
"""Inputs of a call whose ends are remembered."""


@dataclass(slots=True)
class Record:
    """A call made in an input of another."""

    call_id: str
    parent: str
    function_id: str
    tag: str
    module: str
    environment: str
    inputs: int = 0
    ended: dict[int, InputStatus] = field(default_factory=dict[int, "InputStatus"])


class CallRecords:
    """The newest calls that were made in inputs of others, and are not kept in the store."""

    def __init__(self) -> None:
        self.calls: OrderedDict[str, Record] = OrderedDict()
        self._children: dict[str, list[str]] = {}  # call id of the parent → calls

    def opened(self, record: Record) -> None:
        """A call was made."""
        if record.call_id in self.calls:
            return
        self.calls[record.call_id] = record
        self._children.setdefault(call_of(record.parent), []).append(record.call_id)
        if len(self.calls) > MOST_CALLS:
            _, old = self.calls.popitem(last=False)
            siblings = self._children.get(call_of(old.parent), [])
            if old.call_id in siblings:
                siblings.remove(old.call_id)
            if not siblings:
                self._children.pop(call_of(old.parent), None)

    def put(self, batch: Batch) -> None:
        """Inputs of some call arrived."""
        record = self.calls.get(batch.call_id)
        if record is not None and len(batch):
            record.inputs = max(record.inputs, max(batch.index) + 1)

    def delivered(self, batch: Batch) -> None:
        """Results of some call went to its caller."""
        record = self.calls.get(batch.call_id)
        if record is not None and len(record.ended) < MOST_INPUTS:
            record.ended.update(statuses(batch))

    def children(self, call_id: str) -> list[Record]:
        """The calls made in inputs of a call."""
        return [self.calls[child] for child in self._children.get(call_id, ())]


def call_of(input_id: str) -> str:
    """The call of an input, by the input's id."""
    return f"fc-{input_id[3:CALL_ID_LENGTH]}"


def statuses(batch: Batch) -> dict[int, InputStatus]:
    """How the inputs of a batch of results ended; without those that go on."""
    found: dict[int, InputStatus] = {}
    payloads = batch.payloads() if LOST in batch.code and batch.payload else []
    for row, (index, code) in enumerate(zip(batch.index, batch.code, strict=True)):
        kind = code & ~BLOB
        if kind in (OK, DONE):
            found[index] = "success"
        elif kind == ERROR:
            found[index] = "failure"
        elif kind != YIELD:
            found[index] = status_of(payloads[row]) if payloads else "failure"
    return found


def status_of(lost: bytes) -> InputStatus:
    """How an input ended whose failure the server made."""
    try:
        said = json.loads(lost)
        kind, message = str(said["type"]), str(said["message"])
    except (ValueError, KeyError, TypeError):
        return "failure"
    if kind == "FunctionTimeoutError":
        return "timeout"
    if message.startswith("Input was cancelled"):
        return "terminated"
    return "lost" if kind == "InternalFailure" else "failure"
