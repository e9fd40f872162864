"""What comes back: the results of inputs, whether they are wanted, and whether a failure is tried again."""

from __future__ import annotations

from ..protocol.batch import BLOB, ERROR, LOST, OK, YIELD, Batch
from .call import Call
from .fleet import Fleet
from .flow import Flow
from .ledger import DELAYED, QUEUED, UNKNOWN, ranges
from .retries import Retries
from .state import Core
from .worker import Container, State, Worker

RARE = (YIELD, ERROR, LOST)
"""Results that are looked at one by one: those that end nothing, and failures."""


class Results:
    """Takes results from workers and hands them to callers."""

    def __init__(self, core: Core, flow: Flow, fleet: Fleet, retries: Retries) -> None:
        self.core = core
        self.flow = flow
        self.fleet = fleet
        self.retries = retries

    def results(self, now: float, worker: Worker, batch: Batch) -> None:
        """Results arrive. Nearly always all rows are fresh: then the batch goes on as it came."""
        if batch.seq in worker.unconfirmed:
            return  # it was offered again; its confirmation is on its way
        container = worker.containers.get(batch.container)
        call = self.core.calls.get(batch.call_id)
        if container is None or call is None or not self._fresh(now, container, call, batch):
            self._some_results(now, worker, container, call, batch)

    def _fresh(self, now: float, container: Container, call: Call, batch: Batch) -> bool:
        """Takes a batch whose rows all end inputs that the container has in their only attempt."""
        index, code = batch.index, batch.code
        count = len(index)
        held = container.held.get(call.id)
        if not count or held is None or call.closed or call.attempts:
            return False
        if code.count(OK) != count and any(value & ~BLOB in RARE for value in code):
            return False
        if batch.attempt.count(call.first_attempt) != count or not held.issuperset(index):
            return False
        low = min(index)
        parts = [(low, low + count)] if max(index) - low == count - 1 else ranges(sorted(index))
        before = len(held)
        held.difference_update(index)
        if (
            before - len(held) != count
        ):  # a row twice: the worker is broken; what it names once is still right
            held.update(index)
            return False
        call.end(parts)
        self._progress(now, container, call, count, sum(batch.micros))
        self.core.delivery.deliver(call.caller, batch, container.worker)
        self._next(now, container)
        return True

    def _progress(self, now: float, container: Container, call: Call, count: int, micros: int) -> None:
        """The books of a container that has ended some inputs."""
        function = call.function
        call.running -= count
        function.running -= count
        function.failures = function.crashes = 0
        if not container.held[call.id]:
            del container.held[call.id]
        container.outstanding -= count
        function.learn((now - container.progress_at) / count)
        container.learn(micros / count)
        self._goes_on(now, container)

    def _goes_on(self, now: float, container: Container) -> None:
        """A container runs the next that it has."""
        container.progress_at = now
        if container.slowed:  # it could not give back what waits there, and the next may be slow, too
            self.flow.watch(now, container)
        container.slowed = False

    def _next(self, now: float, container: Container) -> None:
        """A container may have room again."""
        function = container.function
        if not container.outstanding and container.state is State.READY:
            if function.spec.single_use:
                self.fleet.stop(now, container, self.core.settings.stop_grace_s, "it is made for one input")
                return
            self.fleet.rest(now, container)
        if function.queued:
            share = -(-function.queued // max(1, len(function.containers)))
            while function.queued and container.room():
                if not self.flow.give(now, container, share):
                    break
            if function.shares and function.open:
                self.flow.fill(now, function)  # what had to run alone holds the others up no more
            if function.queued and now - function.scaled_at > 5 * self.core.settings.scale_every_s:
                self.fleet.wake(now, function)
        function.place(container, now)
        if not container.outstanding:
            self.fleet.idle(now, function)

    def _some_results(
        self, now: float, worker: Worker, container: Container | None, call: Call | None, batch: Batch
    ) -> None:
        """The rare batches: items of generators, repeated attempts, calls that are closed or not open yet."""
        if call is None or call.closed:
            self._unwanted(now, worker, container, call, batch)
            return
        keep: list[int] = []
        failed: list[int] = []
        ended = micros = stale = 0
        for row, (index, attempt, code) in enumerate(
            zip(batch.index, batch.attempt, batch.code, strict=True)
        ):
            held = container is not None and index in container.held.get(call.id, ())
            if not self._accepts(call, index, attempt, held):
                stale += 1
                continue
            kind = code & ~BLOB
            if kind == YIELD:
                keep.append(row)
                call.yielded.add(index)
                if container is not None:
                    container.progress_at = now
                continue
            if held and container is not None:
                container.held[call.id].discard(index)
                ended += 1
                micros += batch.micros[row]
            elif call.ledger.state(index) == QUEUED:
                call.queued -= 1
                call.alone.discard(index)
                self.flow.unqueued(call)
            else:
                call.delayed.pop(index, None)
            if kind == ERROR and self.retries.again(now, call, index, attempt):
                continue
            keep.append(row)
            if kind in (ERROR, LOST):
                failed.append(row)
            else:
                call.end([(index, index + 1)])
        self._end_failed(now, call, batch, failed)
        self.core.stale += stale
        if ended and container is not None:
            self._progress(now, container, call, ended, micros)
        if keep:
            self.core.delivery.deliver(call.caller, batch.pick(keep), worker)
        else:
            self.core.delivery.release(worker, batch.seq)
        if container is not None and container.state is not State.GONE:
            self._next(now, container)

    def _end_failed(self, now: float, call: Call, batch: Batch, rows: list[int]) -> None:
        """These rows are failures for good."""
        if not rows:
            return
        payloads = batch.payloads()
        for row in rows:
            part = (batch.index[row], batch.index[row] + 1)
            self.flow.failed.record(now, call, [part], batch.code[row], payloads[row])
            call.end([part])

    def _accepts(self, call: Call, index: int, attempt: int, held: bool) -> bool:
        """The first recorded result wins, and only the newest attempt may give it."""
        if held:
            return attempt == call.attempt(index)
        return call.ledger.state(index) in (UNKNOWN, QUEUED, DELAYED) and call.counts(index, attempt)

    def _unwanted(
        self, now: float, worker: Worker, container: Container | None, call: Call | None, batch: Batch
    ) -> None:
        """Results of a call that is closed, or not open (again) yet."""
        ended = {i for i, code in zip(batch.index, batch.code, strict=True) if code & ~BLOB != YIELD}
        if container is not None:
            had = container.drop(batch.call_id, ended)
            if had:
                self._goes_on(now, container)
                if call is None:
                    self.flow.forget_early(batch.call_id, had)
                else:
                    call.running -= len(had)
                    call.function.running -= len(had)
                    call.end(ranges(sorted(had)))
                    self.flow.free(call)
        early = batch.attempt and max(batch.attempt) < self.core.first_attempt
        if call is None and early and batch.call_id not in self.core.let_go:
            self.core.keep_for(now, batch.call_id)
            self.core.early_results.setdefault(batch.call_id, []).append((worker, batch))
            if batch.seq:
                worker.unconfirmed.add(batch.seq)
        else:
            self.core.stale += len(batch.index)
            self.core.delivery.release(worker, batch.seq)
        if container is not None and container.state is not State.GONE:
            self._next(now, container)
