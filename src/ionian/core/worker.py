"""A worker and its containers, as the dispatcher knows them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import TYPE_CHECKING

from ..protocol.workers import Held, Running
from .placement import Node, Reservation

if TYPE_CHECKING:
    from .function import Function

WORK_AHEAD_US = 2_000
"""A Run batch holds about this much work: what a straggler can make wait, and ten times a round trip."""

NO_WORK_AHEAD_US = 50_000
"""Inputs slower than this are given one at a time: the round trip no longer matters, where they run does."""

WORTH_SENDING_US = 200
"""Short queues are split evenly, but not in batches of less work than this: a batch costs each hop as much."""

MOST_ROWS = 256
BATCH_ROWS = 64
ABSENT_S = 1.0
"""Out of reach for so long, which a lost connection rarely is, a worker is no help: others start what is needed."""
HEAVY_BYTES = 256 << 10
"""A container whose last batch was larger than this has one ahead and no more: memory, and frames, stay bounded."""


def rows_of(inputs: Iterable[Held]) -> dict[str, set[int]]:
    """The inputs of a message by call; there may be several lists of one call."""
    rows: dict[str, set[int]] = {}
    for held in inputs:
        rows.setdefault(held.call_id, set()).update(held.index)
    return rows


def reserved(running: Running) -> Reservation:
    """What a container has of its worker, as that one says: perhaps more than there is, it runs all the same."""
    return Reservation(running.cpu_milli, running.memory_mib, list(running.devices))


class State(IntEnum):
    """Of a container."""

    STARTING = 0
    READY = 1
    STOPPING = 2  # told to stop; counts until it has ended
    GONE = 3


class Worker:
    """One worker; `present` while it is connected."""

    __slots__ = (
        "containers",
        "following",
        "gone_at",
        "id",
        "images",
        "joins",
        "leaving",
        "name",
        "node",
        "present",
        "settling",
        "strangers",
        "unconfirmed",
    )

    def __init__(self, id: str, node: Node) -> None:
        self.id = self.name = id
        self.node = node
        self.containers: dict[int, Container] = {}
        self.leaving: dict[Container, None] = {}  # of them, those that end without being told again
        self.present = True
        self.joins = 0
        self.gone_at = 0.0
        self.following = 0  # batches of results that are to come behind its inventory
        self.settling: list[Callable[[float], None]] = []  # what waits for them
        self.unconfirmed: set[int] = set()  # batches of results that the callers have not confirmed yet
        self.images: set[str] = set()
        self.strangers: dict[int, Reservation] = {}  # containers that end there, and are no function's

    def absent(self, now: float) -> bool:
        """Whether it is out of reach, and not for a moment only."""
        return not self.present and now >= self.gone_at + ABSENT_S

    def moved(self) -> None:
        """It is there or not, or has other images."""
        self.node.note()

    def takes_stranger(self, running: Running) -> None:
        """A container is to end that nothing is known of: until it has, what it has is not free."""
        reservation = self.strangers[running.number] = reserved(running)
        self.node.take(reservation)

    def stranger_ended(self, number: int) -> bool:
        """It has ended. False: there is no such stranger."""
        reservation = self.strangers.pop(number, None)
        if reservation is not None:
            self.node.give_back(reservation)
        return reservation is not None


class Container:
    """One container: what it has, and how much it may be given."""

    __slots__ = (
        "adopted",
        "batch",
        "batches",
        "born",
        "doomed",
        "exclusive",
        "function",
        "generation",
        "heavy",
        "held",
        "id",
        "idle_since",
        "inputs",
        "least",
        "limit",
        "number",
        "outstanding",
        "pace_us",
        "progress_at",
        "reservation",
        "retired",
        "shares",
        "since",
        "slowed",
        "state",
        "taking",
        "wave",
        "worker",
    )  # fmt: skip

    def __init__(
        self, worker: Worker, number: int, id: str, function: Function, reservation: Reservation
    ) -> None:
        self.worker = worker
        self.number = number
        self.id = id
        self.function = function
        self.reservation = reservation
        self.state = State.STARTING
        self.wave = 0  # failed starts of its function before it was started
        self.held: dict[str, set[int]] = {}  # call → its inputs here, without a result
        self.outstanding = 0  # inputs in `held`
        self.progress_at = 0.0
        self.idle_since = 0.0
        self.pace_us = -1.0  # unknown
        self.batch = 1  # rows of the next Run batch
        self.least = 1  # rows that are worth a batch of their own
        self.limit = 1  # rows outstanding at most
        self.heavy = False
        self.taking = False  # asked to give back; nothing is sent meanwhile
        self.slowed = False  # gave back: nothing more until what it runs has ended
        self.adopted = False  # it was there before this epoch, or came back: the cap may not know it
        self.doomed = False  # to be stopped as soon as its worker is back
        spec = function.spec
        self.generation = function.generation
        self.retired = False  # it gets no more inputs, and ends with those that it has
        self.shares = function.shares  # it runs several inputs at once
        self.batches = self.shares and spec.batching is not None
        self.exclusive = False  # what it has must run alone
        self.inputs = 1 if spec.single_use else spec.concurrency.max_inputs  # that run at once, or batches
        self.born = 0.0  # when it was asked for
        self.since = 0.0  # when it came into its state

    def learn(self, micros: float) -> None:
        """A result took this long: slower counts at once, faster by and by."""
        pace = self.pace_us
        self.pace_us = micros if micros >= pace else 0.7 * pace + 0.3 * micros
        self.tune()

    def tune(self) -> None:
        """Sets how much it is given, from its pace."""
        pace = self.pace_us
        if self.shares:
            self._tune_shared()
            return
        if pace < 0 or pace > NO_WORK_AHEAD_US or self.function.spec.single_use:
            self.batch = self.limit = self.least = 1
            return
        rows = WORK_AHEAD_US / max(pace, 1.0)
        self.batch = int(min(max(rows, 1), BATCH_ROWS))
        self.least = int(min(max(WORTH_SENDING_US / max(pace, 1.0), 1), BATCH_ROWS))
        self.limit = int(min(max(3 * rows, 2), MOST_ROWS))  # what it runs and two batches ahead

    def _tune_shared(self) -> None:
        """Of several inputs at once none is given ahead: each runs at once. Of batches one runs, the next collects."""
        spec = self.function.spec
        self.batch = self.least = 1
        self.limit = self.inputs
        if spec.batching is not None and not spec.single_use:
            self.least = spec.batching.max_batch_size
            self.limit = 2 * self.least * self.inputs

    def crowded(self) -> bool:
        """Whether something may wait in it for the end of what runs."""
        if self.shares and not self.batches:
            return False  # all that it has runs
        return self.outstanding > (1 if self.inputs == 1 else self.full)

    @property
    def full(self) -> int:
        """So many inputs begin at once; batches of fewer wait for more first."""
        return self.least * self.inputs

    def begun(self) -> float:
        """When what runs in it has begun, at the latest."""
        batching = self.function.spec.batching
        if batching is None or not self.batches or self.outstanding >= self.full:
            return self.progress_at
        return self.progress_at + batching.wait_ms / 1000

    def room(self) -> int:
        """Rows that it may be given now; 0 until a whole batch fits, so that batches stay large."""
        if (
            self.state is not State.READY
            or self.taking
            or self.slowed
            or self.retired
            or not self.worker.present
        ):
            return 0
        if self.shares:
            if self.outstanding and (self.exclusive or self.function.alone):
                return 0  # something must run alone: containers empty for it
            return max(0, self.limit - self.outstanding)
        if self.heavy:
            return 1 if self.outstanding < 2 and self.limit > self.outstanding else 0
        free = self.limit - self.outstanding
        return self.batch if free >= self.batch else 0

    def drop(self, call_id: str, indexes: set[int]) -> set[int]:
        """Takes inputs off it; returns those that it had."""
        held = self.held.get(call_id)
        if held is None:
            return set()
        had = held & indexes
        held -= had
        self.outstanding -= len(had)
        if not self.outstanding:
            self.slowed = False
        if not held:
            del self.held[call_id]
        return had
