"""Workers that join, vanish and come back, and the first seconds after a start of the server.

What a worker has is never guessed: until it was out of reach for `worker_lost_after_s`, or has said what it has,
its inputs stay where they are.
"""

from __future__ import annotations

from typing import NamedTuple

from ..protocol.workers import Capacity, ContainerState, Running
from .actions import Stop
from .call import Call
from .endings import Endings
from .fleet import Fleet
from .flow import Flow
from .function import Function
from .ledger import DELAYED, QUEUED, UNKNOWN
from .placement import Node
from .results import Results
from .state import Core
from .versions import at_once
from .worker import ABSENT_S, Container, State, Worker, reserved, rows_of

SUPERSEDED = "its inputs were run elsewhere while its worker was out of reach"


class Lost(NamedTuple):
    """What is remembered of a worker that was given up."""

    containers: dict[int, Container]  # with the inputs that they had
    unconfirmed: set[int]  # the same set: results of it may still be on their way to callers


class Recovery:
    """Matches what workers say with what the server knows."""

    def __init__(
        self,
        core: Core,
        flow: Flow,
        fleet: Fleet,
        endings: Endings,
        results: Results,
        known_workers: set[str],
    ) -> None:
        self.core = core
        self.flow = flow
        self.fleet = fleet
        self.endings = endings
        self.results = results
        self.awaited = set(known_workers)
        core.settled = not known_workers
        core.drop_unopened = self._drop_unopened
        self.lost: dict[str, Lost] = {}  # workers given up, should they come back

    def begin(self, now: float) -> None:
        """The server has started."""
        if not self.core.settled:
            self.core.timers.at(now + self.core.settings.inventory_wait_s, self._settle)

    # After a start

    def _settle(self, now: float) -> None:
        if self.core.settled:
            return
        self.awaited.clear()
        self.core.settled = True
        for call in [call for call in self.core.calls.values() if call.held_back]:
            self.flow.release(now, call)
        for function in self.core.functions.values():
            self.fleet.wake(now, function)

    def _settle_soon(self, now: float) -> None:
        """All have told what they have; their results are waited for."""
        late = next((w for w in self.core.workers.values() if w.present and w.following), None)
        if late is None:
            self._settle(now)
        else:
            late.settling.append(self._settle_soon)

    def followed(self, now: float, worker: Worker) -> None:
        """A batch of results came that a worker had when it joined, or one behind these."""
        worker.following -= 1
        if not worker.following:
            settling, worker.settling = worker.settling, []
            for settle in settling:
                settle(now)

    def opened(self, now: float, call: Call) -> None:
        """A call is opened (again): what workers have of it is attached to it."""
        if call.id in self.core.let_go:
            self.core.let_go.discard(call.id)
            call.oldest = call.first_attempt
        for index, (container, attempt) in self.core.early_held.pop(call.id, {}).items():
            call.attach(index, attempt)
            call.function.running += 1
            container.function = call.function
        for worker, batch in self.core.early_results.pop(call.id, []):
            worker.unconfirmed.discard(batch.seq)
            self.results.results(now, worker, batch)

    def _drop_unopened(self, now: float, call_id: str) -> None:
        """Nobody came for this call. Should somebody, it begins anew: of a generator, the items are gone."""
        self.core.let_go.add(call_id)
        for worker, batch in self.core.early_results.pop(call_id, []):
            worker.unconfirmed.discard(batch.seq)
            self.core.delivery.release(worker, batch.seq)
        rows = self.core.early_held.pop(call_id, {})
        for container in {container: None for container, _ in rows.values()}:
            container.drop(call_id, set(rows))
            self.fleet.stop(now, container, 0.0, "its caller is gone")

    # Workers

    def joined(
        self,
        now: float,
        worker_id: str,
        capacity: Capacity,
        containers: list[Running],
        ending: list[Running],
        follows: int,
    ) -> None:
        """A worker is connected and says what it has; `ending`: containers that end by themselves."""
        worker = self.core.workers.get(worker_id)
        lost: dict[int, Container] = {}
        if worker is None:
            worker = self.core.workers[worker_id] = Worker(worker_id, Node(capacity))
            self.core.places.add(worker)
            before = self.lost.pop(worker_id, None)
            if before is not None:
                lost, worker.unconfirmed = before.containers, before.unconfirmed
        else:
            worker.node.change(capacity, [c.reservation for c in worker.containers.values()])
        worker.present = True
        worker.moved()
        worker.joins += 1
        worker.following, worker.settling = follows, []
        worker.strangers.clear()
        for running in ending:
            worker.takes_stranger(running)
        reported = {running.number: running for running in containers}
        for container in list(worker.containers.values()):
            self._compare(now, container, reported.pop(container.number, None))
        for running in reported.values():
            self._adopt(now, worker, running, lost.get(running.number))
        self.awaited.discard(worker_id)
        if not self.awaited and not self.core.settled:
            # Results of containers that have ended are not in an inventory: they come right behind it.
            self.core.timers.at(now + self.core.settings.settle_s, self._settle_soon)
        for function in {c.function: None for c in worker.containers.values()}:
            self.flow.fill(now, function)
            self.fleet.idle(now, function)
        for function in self.core.functions.values():
            self.fleet.wake(now, function)

    def _compare(self, now: float, container: Container, running: Running | None) -> None:
        """A container that both know: what it lacks was lost on the way to it."""
        container.taking = False
        if running is None:
            self._missing(now, container)
            return
        self._expect(now, container, rows_of(running.held))
        if container.state is State.STOPPING:
            grace = 0.0 if container.doomed else self.core.settings.stop_grace_s
            self.core.actions.append(Stop(container.worker.id, container.number, grace, "asked before"))
        elif running.ready:
            self.fleet.ready(now, container)
        container.function.place(container, now)
        self.flow.watch(now, container)  # nobody did while it was out of reach, and a question may be lost
        for id in list(container.held):
            call = self.core.calls.get(id)
            if call is not None and call.closed:
                self.flow.interrupt(now, container, call)
        if container.retired and container.state is State.READY:
            self.flow.take_back(now, container)

    def _expect(self, now: float, container: Container, there: dict[str, set[int]]) -> None:
        """What a container should have and has not was lost on the way to it, or has a result that comes now."""
        worker, joins = container.worker, container.worker.joins
        calls = self.core.calls
        lacking = {
            (call_id, index): calls[call_id].attempt(index)
            for call_id, rows in container.held.items()
            if call_id in calls
            for index in rows - there.get(call_id, set())
        }
        if not lacking:
            return

        def settle(then: float) -> None:
            if worker.joins != joins or not worker.present or container.state is State.GONE:
                return  # the next inventory tells
            if worker.following:
                worker.settling.append(settle)
                return
            lost: dict[str, set[int]] = {}
            for (call_id, index), attempt in lacking.items():
                held = index in container.held.get(call_id, ())
                if held and call_id in calls and calls[call_id].attempt(index) == attempt:
                    lost.setdefault(call_id, set()).add(index)
            self.flow.back_to_queue(container, lost)
            container.function.place(container, then)
            self.fleet.rest(then, container)
            self.flow.fill(then, container.function)
            self.fleet.idle(then, container.function)

        self.core.timers.at(now + self.core.settings.settle_s, settle)

    def _missing(self, now: float, container: Container) -> None:
        """Never started there, or ended meanwhile: then its last results and its end are on their way."""
        if not container.held:
            self.fleet.remove(container)
            return
        if container.state is not State.STARTING:
            container.state = State.STOPPING
            container.worker.leaving[container] = None
        container.function.place(container, now)

        def give_up(then: float) -> None:
            if container.worker.following:
                container.worker.settling.append(give_up)
            elif container.state is not State.GONE and container.worker.present:
                self.endings.ended(then, container, ContainerState(container.number, "ended", "stopped"), b"")

        self.core.timers.at(now + self.core.settings.missing_container_s, give_up)

    def _adopt(self, now: float, worker: Worker, running: Running, before: Container | None) -> None:
        """A container that only the worker knows: from before a start of the server, or given up as lost."""
        function = self.core.functions.get(running.function_id)
        old = all(attempt < self.core.first_attempt for held in running.held for attempt in held.attempt)
        if function is None or (before is None and not old):
            self.core.actions.append(Stop(worker.id, running.number, 0.0, "the server does not know it"))
            worker.takes_stranger(running)
            return
        container = Container(worker, running.number, running.container_id, function, reserved(running))
        container.adopted = True
        self.fleet.adopt(container)
        worker.node.starting += 1
        superseded = False
        for held in running.held:
            for index, attempt in zip(held.index, held.attempt, strict=True):
                if before is None or index in before.held.get(held.call_id, ()):
                    superseded |= not self._attach(now, container, held.call_id, index, attempt)
        if running.ready:
            container.worker.node.starting -= 1
            container.state = State.READY
            container.tune()
            container.progress_at = now
        container.born = before.born if before is not None else now
        if superseded or (before is not None and before.doomed):
            self.fleet.stop(now, container, 0.0, SUPERSEDED)
        elif self._is_old(container, running, before):
            self._end_old(now, container)
        elif container.outstanding:
            self.flow.take_back(
                now, container
            )  # how fast it is has been forgotten: it is asked to start afresh
        container.function.place(container, now)

    def _end_old(self, now: float, container: Container) -> None:
        """As the deploy would have ended it: the server may have gone between its being stored and its being told."""
        function = container.function
        if function.spec.recreate and not function.dropped:
            self.fleet.stop(now, container, at_once(function), "it is of an older version")
        else:
            self.fleet.retire(now, container, "it is of an older version")

    def _is_old(self, container: Container, running: Running, before: Container | None) -> bool:
        """Whether a container that came back is of an earlier version of its function."""
        function = container.function
        if function.dropped:
            return True
        if before is not None:
            return before.generation != function.generation
        return running.version != function.spec.version

    def _attach(self, now: float, container: Container, call_id: str, index: int, attempt: int) -> bool:
        """An input turned out to be in a container; False where it was run elsewhere meanwhile."""
        if index in container.held.get(call_id, ()):
            return True  # named twice: it runs, and some of its results are not confirmed
        call = self.core.calls.get(call_id)
        if call is None:
            if attempt >= self.core.first_attempt or call_id in self.core.let_go:
                return False  # its call was closed, or nobody came for it
            if index in self.core.early_held.get(call_id, ()):
                return False  # a worker that was given up is back, and another has it, too: who came first goes on
            self.core.keep_for(now, call_id)
            self.core.early_held.setdefault(call_id, {})[index] = (container, attempt)
        else:
            state = call.ledger.state(index)
            if call.closed or state not in (UNKNOWN, QUEUED, DELAYED) or not call.counts(index, attempt):
                return False
            waited = call.attach(index, attempt)
            call.function.running += 1
            if waited:
                self.flow.unqueued(call)
        container.held.setdefault(call_id, set()).add(index)
        container.outstanding += 1
        return True

    def gone(self, now: float, worker_id: str, dead: bool) -> None:
        """The connection is lost; `dead`: the worker is known to have ended, and its containers with it."""
        worker = self.core.workers.get(worker_id)
        if worker is None:
            return
        worker.present = False
        worker.moved()
        worker.gone_at = now
        if dead:
            self._lose(now, worker, dead=True)
            return
        for container in worker.containers.values():
            container.function.place(container, now)

        functions = {container.function: None for container in worker.containers.values()}

        def others(then: float) -> None:
            if worker.absent(then):
                for function in functions:
                    self.fleet.wake(then, function)

        def check(then: float) -> None:
            same = self.core.workers.get(worker_id) is worker
            if same and not worker.present and worker.gone_at == now:
                self._lose(then, worker, dead=False)

        self.core.timers.at(now + ABSENT_S, others)
        self.core.timers.at(now + self.core.settings.worker_lost_after_s, check)

    def _lose(self, now: float, worker: Worker, *, dead: bool) -> None:
        """The worker's inputs run elsewhere from now on."""
        del self.core.workers[worker.id]
        self.core.places.remove(worker)
        functions: dict[Function, None] = {}
        kept: dict[int, Container] = {}
        for container in list(worker.containers.values()):
            functions[container.function] = None
            memory = Container(
                worker, container.number, container.id, container.function, container.reservation
            )
            memory.held = {id: set(rows) for id, rows in container.held.items()}
            memory.doomed = container.doomed
            memory.generation = container.generation
            memory.born = container.born
            kept[container.number] = memory
            self.fleet.remove(container)
            self.endings.requeue_all(now, container)
        if not dead and (kept or worker.unconfirmed):
            lost = self.lost[worker.id] = Lost(kept, worker.unconfirmed)
            forget_at = now + 60 * self.core.settings.worker_lost_after_s
            self.core.timers.at(forget_at, lambda _: self._forget(worker.id, lost))
        for function in functions:
            self.flow.fill(now, function)
            self.fleet.wake(now, function)

    def _forget(self, worker_id: str, lost: Lost) -> None:
        if self.lost.get(worker_id) is lost:
            del self.lost[worker_id]
