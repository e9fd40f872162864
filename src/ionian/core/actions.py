"""What the dispatcher decides, for the shell to carry out. In order: what is said to one peer stays in order."""

from __future__ import annotations

from dataclasses import dataclass

from ..protocol.batch import Batch


@dataclass(slots=True)
class Run:
    """Send these inputs to a worker (`batch.container` says to which of its containers)."""

    worker_id: str
    batch: Batch


@dataclass(slots=True)
class Deliver:
    """Send these results to a caller, who confirms `batch.seq`."""

    caller: str
    batch: Batch


@dataclass(slots=True)
class Start:
    """Start a container of a function on a worker."""

    worker_id: str
    number: int
    container_id: str
    function_id: str
    devices: list[str]


@dataclass(slots=True)
class Stop:
    """End a container: it is idle (`grace_s` > 0) or not wanted any more (0)."""

    worker_id: str
    number: int
    grace_s: float
    reason: str


@dataclass(slots=True)
class Take:
    """Ask a worker for what a container has not claimed."""

    worker_id: str
    number: int


@dataclass(slots=True)
class Cancel:
    """Interrupt these inputs of a container; what still runs after the grace is killed with it."""

    worker_id: str
    number: int
    call_id: str
    index: list[int]
    grace_s: float


@dataclass(slots=True)
class Failed:
    """An input has ended in a failure for good: what it was, for `ionian replay`."""

    call_id: str
    index: int
    function_id: str
    input_code: int  # BLOB: its payload names a blob
    input: bytes
    code: int
    failure: bytes


@dataclass(slots=True)
class Tried:
    """An input failed and is tried again: what it has used by then, for a caller that keeps it over a start of the
    server."""

    caller: str
    call_id: str
    index: int
    retries: int
    attempt: int  # what is said of an older one does not count any more


@dataclass(slots=True)
class ConfirmResults:
    """Tell a worker that these batches of results need not be kept."""

    worker_id: str
    seqs: list[int]


Action = Run | Deliver | Start | Stop | Take | Cancel | Failed | Tried | ConfirmResults
