"""Results on their way: kept until the caller has confirmed them, and only then confirmed to the worker."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from ..protocol.batch import Batch
from .actions import Action, ConfirmResults, Deliver
from .worker import Worker


class Caller:
    """Who makes calls: a client, or a container."""

    __slots__ = ("calls", "dropped", "gone_at", "id", "outbox", "present", "seq")

    def __init__(self, id: str) -> None:
        self.id = id
        self.seq = 0  # of the last batch delivered
        self.outbox: deque[tuple[Batch, Worker | None, int]] = (
            deque()
        )  # unconfirmed, with the worker's own seq
        self.calls: set[str] = set()
        self.present = True
        self.gone_at = 0.0
        self.dropped = False  # will not come back: what is still due to it is let go


class Delivery:
    """Hands results to callers and passes confirmations back."""

    def __init__(self, actions: list[Action]) -> None:
        self.actions = actions
        self.callers: dict[str, Caller] = {}
        self.delivered = 0  # rows

    def caller(self, id: str) -> Caller:
        """The caller of this id."""
        caller = self.callers.get(id)
        if caller is None:
            caller = self.callers[id] = Caller(id)
        return caller

    def deliver(self, caller: Caller, batch: Batch, worker: Worker | None) -> None:
        """Sends a batch as it is, under the caller's next number."""
        seq = batch.seq
        if caller.dropped:
            if worker is not None:
                self.release(worker, seq)
            return
        if worker is not None and seq:
            worker.unconfirmed.add(seq)
        caller.seq += 1
        batch.container = 0
        batch.seq = caller.seq
        self.delivered += len(batch.index)
        caller.outbox.append((batch, worker, seq))
        if caller.present:
            self.actions.append(Deliver(caller.id, batch))

    def deliver_failure(
        self, caller: Caller, call_id: str, indexes: Iterable[int], code: int, payload: bytes
    ) -> None:
        """The same failure for many inputs, in batches of a bearable size."""
        rows = list(indexes)
        step = max(1, min(256, (1 << 20) // (len(payload) + 1)))
        for at in range(0, len(rows), step):
            part = rows[at : at + step]
            count = len(part)
            batch = Batch(call_id, part, [len(payload)] * count, payload * count, code=[code] * count)
            self.deliver(caller, batch, None)

    def confirm(self, caller: Caller, seq: int) -> None:
        """The caller has all batches up to `seq`; so their workers may forget them."""
        if seq > caller.seq:
            return  # of an earlier epoch: nothing of this one was confirmed
        seqs: dict[str, list[int]] = {}
        outbox = caller.outbox
        while outbox and outbox[0][0].seq <= seq:
            _, worker, number = outbox.popleft()
            if worker is not None and number:
                worker.unconfirmed.discard(number)
                seqs.setdefault(worker.id, []).append(number)
        self.actions.extend([ConfirmResults(worker_id, numbers) for worker_id, numbers in seqs.items()])

    def release(self, worker: Worker, seq: int) -> None:
        """Nobody wants this batch: the worker may forget it at once."""
        if seq:
            self.actions.append(ConfirmResults(worker.id, [seq]))

    def back(self, caller: Caller) -> None:
        """The caller's connection is there again: it gets what it has not confirmed."""
        caller.present = True
        self.actions.extend([Deliver(caller.id, batch) for batch, _, _ in caller.outbox])

    def drop(self, caller: Caller) -> None:
        """The caller will not come back: nothing is kept for it."""
        caller.dropped = True
        self.confirm(caller, caller.seq)
        self.forget(caller)

    def forget(self, caller: Caller) -> None:
        """Lets go of a dropped caller whose calls are over."""
        if caller.dropped and not caller.calls and self.callers.get(caller.id) is caller:
            del self.callers[caller.id]
