"""An input that runs beside others."""

from __future__ import annotations

import time
from collections.abc import Callable
from threading import RLock
from typing import Any

from ..protocol.batch import Batch
from ..protocol.wire import RUN
from .kinds import PLAIN, Kinds
from .payloads import FilePayload, Payload, Row, unpickled

_now = time.monotonic_ns


class Job:
    """An input, claimed; it has a slot while it runs."""

    __slots__ = (
        "args",
        "attempt",
        "call_id",
        "function",
        "index",
        "interrupted",
        "kind",
        "kwargs",
        "lock",
        "slot",
        "started",
        "task",
        "thread",
    )

    def __init__(self, slot: int, call_id: str, index: int, attempt: int) -> None:
        self.slot = slot
        self.call_id = call_id
        self.index = index
        self.attempt = attempt
        self.started = _now()
        self.interrupted = False
        self.task: Any = None  # of an async one
        self.thread = 0  # that runs user code of a sync one
        self.lock = (
            RLock()
        )  # over `thread` and `interrupted`: a signal's handler may come while the main thread holds it
        self.function: Callable[..., Any]
        self.kind = PLAIN
        self.args: tuple[Any, ...] = ()
        self.kwargs: dict[str, Any] = {}

    def open(self, kinds: Kinds, payload: bytes | memoryview | FilePayload) -> None:
        """Finds its function and arguments. Raises what makes it no input that can run."""
        given = unpickled(payload)
        self.function, self.kind = kinds.of(given)
        self.args, self.kwargs = given[0], given[1]

    def row(self, code: int, payload: Payload, number: int | None = None) -> Row:
        """A result of it; `number`: of an item, or how many there were."""
        micros = (_now() - self.started) // 1000 if number is None else number
        return self.index, self.attempt, code, micros, payload


def claimed(packet: Any, slot: int = 0) -> tuple[Job, bytes | memoryview | FilePayload] | None:
    """The input of a packet, and its pickled arguments: the worker sends them one by one. None for anything else."""
    kind, header, payload = packet
    batch = Batch.unpack_header(header)
    if kind != RUN or len(batch) != 1:
        return None
    return Job(slot, batch.call_id, batch.index[0], batch.attempt[0]), payload
