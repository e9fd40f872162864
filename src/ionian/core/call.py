"""A call: its inputs, in ranges; what waits, what containers have, and the payloads until results are recorded."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import deque
from collections.abc import Iterable, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING

from ..protocol.batch import Batch
from .ledger import DELAYED, ENDED, HELD, QUEUED, UNKNOWN, Ledger, ranges

if TYPE_CHECKING:
    from .delivery import Caller
    from .function import Function

RUN_BYTES = 64 << 10
"""A Run batch is no longer than this, so that no hop waits behind a big frame; a single longer input goes alone."""


NEW, BARE, KNOWN = range(3)
"""What an input that arrives is: new; in a container, found by an inventory, before its payload came; known."""


class Segment:
    """Inputs that arrived together, of consecutive indexes, kept until the last of them has ended."""

    __slots__ = ("code", "left", "offsets", "payload", "size", "start", "stop")

    def __init__(self, start: int, size: list[int], payload: memoryview, code: list[int] | None) -> None:
        self.start = start
        self.stop = start + len(size)
        self.size = size
        self.payload = payload
        self.code = code  # None: all 0
        self.offsets = [0, *accumulate(size)]
        self.left = len(size)

    def fit(self, low: int, high: int) -> int:
        """Where a Run batch that begins at input `low` ends: at `high`, or before it where bytes are many."""
        at = low - self.start
        limit = self.offsets[at] + RUN_BYTES
        if self.offsets[high - self.start] <= limit:
            return high
        return max(low + 1, self.start + bisect_right(self.offsets, limit) - 1)


class Call:
    """One call of a function by a caller."""

    __slots__ = (
        "alone", "attempts", "bare", "caller", "closed", "deaths", "delayed", "first_attempt", "function",
        "given_up", "held_back", "id", "in_ring", "ledger", "newest", "oldest", "opened_at", "queue", "queued",
        "retries", "running", "segments", "starts", "suspects", "yielded",
    )  # fmt: skip

    def __init__(self, id: str, function: Function, caller: Caller, first_attempt: int) -> None:
        self.id = id
        self.function = function
        self.caller = caller
        self.first_attempt = first_attempt  # of an input that was never dispatched in this epoch
        self.newest = first_attempt  # of all that were dispatched
        self.oldest = 0  # what earlier attempts gave was let go, so what follows of it is worth nothing
        self.ledger = Ledger()
        # Ranges of indexes; what is no longer QUEUED in the ledger is passed over.
        self.queue: deque[tuple[int, int]] = deque()
        self.queued = 0
        self.running = 0
        self.starts: list[int] = []  # of the segments, ascending
        self.segments: list[Segment] = []
        # Only of inputs that went back to the queue, or came from an inventory.
        self.attempts: dict[int, int] = {}
        self.bare: set[int] = set()  # a container has it, says an inventory; its payload is not here
        self.deaths: dict[int, int] = {}  # containers that died of it
        self.suspects: set[int] = set()  # claimed when one died: run alone, so the next death is proof
        self.alone: set[int] = set()  # of them, where containers run several inputs: those that wait
        self.retries: dict[int, int] = {}  # how often an input that failed was tried again
        self.delayed: dict[int, float] = {}  # when it will be
        self.yielded: set[int] = set()  # generators that have delivered an item
        self.in_ring = False
        self.opened_at = 0.0
        self.held_back = False  # after a restart, until the inventories are in
        self.closed = False
        self.given_up = (
            False  # closed because its caller was away for so long: it may come back and make it anew
        )

    def attempt(self, index: int) -> int:
        """The number of the newest dispatch of an input that was dispatched."""
        return self.attempts.get(index, self.first_attempt)

    def counts(self, index: int, attempt: int) -> bool:
        """Whether an attempt at an input that no container is known to have may still give its result."""
        return attempt >= self.attempts.get(index, self.oldest)

    def anew(self, before: Call) -> None:
        """It was given up before, and what its containers gave since is gone: none of those attempts counts."""
        self.first_attempt = self.newest = self.oldest = before.newest + 1

    @property
    def under_way(self) -> bool:
        """Whether an input waits, runs, or is to be tried again."""
        return bool(self.queued or self.running or self.delayed)

    # Inputs in

    def add(self, batch: Batch) -> int:
        """Queues the inputs that are new; returns how many. Known ones are passed over."""
        index, size = batch.index, list(batch.size)
        count = len(index)
        if not count:
            return 0
        start = index[0]
        code = list(batch.code) if any(batch.code) else None
        payload = memoryview(batch.payload)
        straight = count == 1 or (
            index[-1] - start == count - 1 and list(index) == list(range(start, start + count))
        )
        if straight and self.ledger.all_are(start, start + count, UNKNOWN):
            self._enqueue(Segment(start, size, payload, code))
            return count
        return self._add_some(index, size, payload, code)

    def _add_some(
        self, index: Sequence[int], size: list[int], payload: memoryview, code: list[int] | None
    ) -> int:
        """Like `add`, where some inputs are known, or their indexes not consecutive."""
        added, row, at = 0, 0, 0
        while row < len(index):
            kind, first, begin = self._kind(index[row]), row, at
            while (
                row < len(index)
                and index[row] == index[first] + row - first
                and self._kind(index[row]) == kind
            ):
                at += size[row]
                row += 1
            if kind == KNOWN:
                continue
            segment = Segment(
                index[first], size[first:row], payload[begin:at], None if code is None else code[first:row]
            )
            if kind == BARE:
                self.bare.difference_update(range(segment.start, segment.stop))
                self._keep(segment)
            else:
                self._enqueue(segment)
                added += segment.left
        return added

    def _kind(self, index: int) -> int:
        if index in self.bare:
            return BARE
        return NEW if self.ledger.state(index) == UNKNOWN else KNOWN

    def _enqueue(self, segment: Segment) -> None:
        self._keep(segment)
        self.ledger.mark(segment.start, segment.stop, QUEUED)
        self.queue.append((segment.start, segment.stop))
        self.queued += segment.left
        if self.suspects:
            self._note_alone(range(segment.start, segment.stop))

    def _keep(self, segment: Segment) -> None:
        if not self.starts or segment.start > self.starts[-1]:
            self.starts.append(segment.start)
            self.segments.append(segment)
        else:
            at = bisect_left(self.starts, segment.start)
            self.starts.insert(at, segment.start)
            self.segments.insert(at, segment)

    # Inputs out

    def take(self, limit: int) -> Batch | None:
        """Up to `limit` inputs from the front of the queue, as a batch to run; None where nothing waits."""
        while self.queue:
            start, stop = self.queue.popleft()
            if not self.ledger.all_are(start, stop, QUEUED):
                parts = list(self.ledger.ranges(start, stop, QUEUED))
                self.queue.extendleft(reversed(parts))
                continue
            segment = self.segments[bisect_right(self.starts, start) - 1]
            end = segment.fit(start, min(stop, start + limit, segment.stop))
            if self.suspects:
                end = self._alone(start, end)
            if end < stop:
                self.queue.appendleft((end, stop))
            return self._cut(segment, start, end)
        return None

    def _alone(self, start: int, end: int) -> int:
        """A batch that begins at `start` has no suspect beside others."""
        if start in self.suspects:
            return start + 1
        return min((index for index in self.suspects if start < index < end), default=end)

    def _cut(self, segment: Segment, start: int, stop: int) -> Batch:
        self.ledger.mark(start, stop, HELD)
        count = stop - start
        self.queued -= count
        self.running += count
        if self.alone:
            self.alone.difference_update(range(start, stop))
        low, high = start - segment.start, stop - segment.start
        index = list(range(start, stop))
        attempt = [self.first_attempt] * count
        if self.attempts:
            attempt = [self._next_attempt(number) for number in index]
        return Batch(
            self.id,
            index,
            segment.size[low:high],
            segment.payload[segment.offsets[low] : segment.offsets[high]],
            attempt=attempt,
            code=None if segment.code is None else segment.code[low:high],
        )

    def _next_attempt(self, index: int) -> int:
        last = self.attempts.get(index)
        if last is None:
            return self.first_attempt
        number = self.attempts[index] = max(last + 1, self.first_attempt)
        self.newest = max(self.newest, number)
        return number

    # What becomes of them

    def requeue(self, indexes: list[int]) -> int:
        """Puts inputs that a container held back to the front; returns how many wait again."""
        ready: list[int] = []
        for index in indexes:
            self.attempts[index] = self.attempt(index)
            if index in self.bare:  # its payload will come with the caller's next send
                self.bare.discard(index)
                self.ledger.mark(index, index + 1, UNKNOWN)
            else:
                ready.append(index)
        self.running -= len(indexes)
        return self._in_front(ready)

    def _in_front(self, indexes: list[int]) -> int:
        parts = ranges(indexes)
        for start, stop in parts:
            self.ledger.mark(start, stop, QUEUED)
        self.queue.extendleft(reversed(parts))
        self.queued += len(indexes)
        if self.suspects:
            self._note_alone(indexes)
        return len(indexes)

    def _note_alone(self, indexes: Iterable[int]) -> None:
        """Of these, which wait from now on, some must run alone."""
        if self.function.shares:
            self.alone.update(self.suspects.intersection(indexes))

    def delay(self, index: int, attempt: int, due: float) -> bool:
        """An input failed in `attempt` and is tried again at `due`; whether it waits here for that.

        It doesn't where its payload will come with its caller's next send. The books are the caller's, as for `end`.
        """
        # What is said about the failed attempt again, after a lost confirmation, is then of an older one.
        self.attempts[index] = max(self.attempts.get(index, 0), attempt) + 1
        state = self.ledger.state(index)
        self.alone.discard(index)
        if state == UNKNOWN or index in self.bare:
            self.bare.discard(index)
            if state != UNKNOWN:
                self.ledger.mark(index, index + 1, UNKNOWN)
            return False
        self.ledger.mark(index, index + 1, DELAYED)
        self.delayed[index] = due
        return True

    def due(self, indexes: list[int]) -> int:
        """The delay of these is over: they wait in front; returns how many."""
        ready = sorted(index for index in indexes if self.delayed.pop(index, None) is not None)
        return self._in_front(ready)

    def payload_of(self, index: int) -> tuple[int, memoryview] | None:
        """An input's code and payload, while they are kept."""
        at = bisect_right(self.starts, index) - 1
        if at < 0 or index >= self.segments[at].stop:
            return None
        segment = self.segments[at]
        row = index - segment.start
        code = 0 if segment.code is None else segment.code[row]
        return code, segment.payload[segment.offsets[row] : segment.offsets[row + 1]]

    def attach(self, index: int, attempt: int) -> bool:
        """A container turned out to have this input; returns whether it waited here."""
        state = self.ledger.state(index)
        waited = state == QUEUED
        if waited:
            self.queued -= 1
            self.alone.discard(index)
        elif state == DELAYED:
            del self.delayed[index]
        else:
            self.bare.add(index)
        self.ledger.mark(index, index + 1, HELD)
        self.attempts[index] = attempt
        self.newest = max(self.newest, attempt)
        self.running += 1
        return waited

    def end(self, parts: list[tuple[int, int]]) -> None:
        """Inputs have their result: records it, and lets go of payloads."""
        for start, stop in parts:
            self.ledger.mark(start, stop, ENDED)
            at = max(bisect_right(self.starts, start) - 1, 0)
            while at < len(self.segments) and (segment := self.segments[at]).start < stop:
                segment.left -= max(0, min(stop, segment.stop) - max(start, segment.start))
                if segment.left:
                    at += 1
                else:
                    del self.starts[at], self.segments[at]
        if self.attempts or self.suspects or self.yielded or self.bare:
            self._forget(parts)

    def _forget(self, parts: list[tuple[int, int]]) -> None:
        for start, stop in parts:
            for index in range(start, stop):
                self.attempts.pop(index, None)
                self.deaths.pop(index, None)
                self.suspects.discard(index)
                self.alone.discard(index)
                self.retries.pop(index, None)
                self.yielded.discard(index)
                self.bare.discard(index)

    def drop_queue(self) -> list[tuple[int, int]]:
        """Everything that waits ends here; returns it, as ranges."""
        dropped: list[tuple[int, int]] = []
        for start, stop in self.queue:
            parts = list(self.ledger.ranges(start, stop, QUEUED))
            self.end(parts)
            dropped += parts
        if self.delayed:
            parts = ranges(sorted(self.delayed))
            self.delayed.clear()
            self.end(parts)
            dropped += parts
        self.queue.clear()
        self.queued = 0
        return dropped

    def waiting(self) -> list[tuple[int, int]]:
        """What waits, as ranges: first what is to run next; then what is delayed."""
        parts = [part for start, stop in self.queue for part in self.ledger.ranges(start, stop, QUEUED)]
        return parts + ranges(sorted(self.delayed))
