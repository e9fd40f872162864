"""A dispatcher with one function, and short words for what happens to it."""

from __future__ import annotations

import json
from typing import TypeVar

from ionian.core.actions import Action, Cancel, ConfirmResults, Deliver, Failed, Run, Start, Stop, Take, Tried
from ionian.core.dispatcher import Dispatcher
from ionian.protocol.batch import LOST, OK, Batch
from ionian.protocol.spec import Batching, Concurrency, FunctionSpec, Resources, RetryPolicy, Scaling
from ionian.protocol.workers import Capacity, ContainerState, Held, Running, TakenBack

CALL = "fc-" + "A" * 26
OTHER = "fc-" + "B" * 26
CLIENT = "cl-1"
WORKER = "wo-1"

A = TypeVar("A", Run, Deliver, Start, Stop, Take, Cancel, Failed, Tried, ConfirmResults)


class Rig:
    """Every event is followed by a check of the books; actions pile up until they are asked for."""

    def __init__(
        self,
        *,
        epoch: int = 1,
        known_workers: set[str] | None = None,
        scaling: Scaling | None = None,
        resources: Resources | None = None,
        worker: Capacity | None = None,
        single_use: bool = False,
        retries: RetryPolicy | None = None,
        concurrency: Concurrency | None = None,
        batching: Batching | None = None,
        join: bool = True,
    ) -> None:
        self.now = 0.0
        self.dispatcher = Dispatcher(epoch=epoch, known_workers=known_workers or set())
        self.actions: list[Action] = []
        self.seq = 0
        spec = FunctionSpec("fu-1", "f", "m", "f", single_use=single_use)
        spec.retries, spec.batching = retries, batching
        spec.concurrency = concurrency or Concurrency()
        spec.scaling = scaling or Scaling(max_containers=1)
        spec.resources = resources or Resources()
        self.dispatcher.add_function(0.0, spec, "ap-1", "main")
        if join:
            self.join(worker or Capacity(4000, 4096))

    def after(self) -> None:
        self.dispatcher.check()
        self.actions += self.dispatcher.take()

    def get(self, kind: type[A]) -> list[A]:
        """The actions of a kind since they were last asked for."""
        found = [action for action in self.actions if isinstance(action, kind)]
        self.actions = [action for action in self.actions if not isinstance(action, kind)]
        return found

    def runs(self) -> list[tuple[int, list[int]]]:
        """Container and inputs of the new Run batches."""
        return [(run.batch.container, list(run.batch.index)) for run in self.get(Run)]

    def outputs(self) -> list[tuple[int, int]]:
        """Index and code of the newly delivered rows."""
        return [row for d in self.get(Deliver) for row in zip(d.batch.index, d.batch.code, strict=True)]

    def confirmed(self) -> list[int]:
        """The batches of results that their worker may newly forget."""
        return [seq for confirm in self.get(ConfirmResults) for seq in confirm.seqs]

    def failures(self) -> dict[int, dict[str, str]]:
        """The newly delivered failures, by index."""
        return {
            index: json.loads(payload)
            for d in self.get(Deliver)
            for index, code, payload in zip(d.batch.index, d.batch.code, d.batch.payloads(), strict=True)
            if code == LOST
        }

    def wait(self, seconds: float) -> None:
        """Time passes, with all ticks that are due."""
        until = self.now + seconds
        while (due := self.dispatcher.next_tick()) is not None and due <= until:
            self.now = max(self.now, due)
            self.dispatcher.tick(self.now)
            self.after()
        self.now = until

    def join(self, capacity: Capacity, containers: list[Running] | None = None, worker: str = WORKER) -> None:
        self.dispatcher.worker_joined(self.now, worker, capacity, containers)
        self.after()
        self.wait(0.05)  # functions that were looked at just now are looked at again

    def open(self, call: str = CALL, *, resumed: bool = False, caller: str = CLIENT) -> None:
        assert self.dispatcher.open_call(self.now, call, "fu-1", caller, resumed)
        self.after()

    def put(self, *indexes: int, call: str = CALL, size: int = 3) -> int:
        count = len(indexes)
        added = self.dispatcher.put(self.now, Batch(call, list(indexes), [size] * count, b"x" * size * count))
        self.after()
        return added

    def start_all(self) -> list[int]:
        """Every container that is asked for becomes ready; returns their numbers."""
        numbers = [start.number for start in self.get(Start)]
        for number in numbers:
            self.ready(number)
        return numbers

    def ready(self, number: int) -> None:
        self.dispatcher.container_state(self.now, WORKER, ContainerState(number, "ready"))
        self.after()

    def ended(
        self,
        number: int,
        why: str,
        *,
        running: list[int] | None = None,
        unclaimed: list[int] | None = None,
        payload: bytes = b"",
    ) -> None:
        def held(indexes: list[int] | None) -> list[Held]:
            return [Held(CALL, indexes, [0] * len(indexes))] if indexes else []

        state = ContainerState(number, "ended", why, running=held(running), unclaimed=held(unclaimed))
        self.dispatcher.container_state(self.now, WORKER, state, payload)
        self.after()

    def results(
        self,
        number: int,
        *indexes: int,
        call: str = CALL,
        code: int = OK,
        attempt: int | None = None,
        micros: int = 1000,
        seq: int | None = None,
        worker: str = WORKER,
    ) -> int:
        if seq is None:
            self.seq += 1
        first = self.dispatcher.core.first_attempt if attempt is None else attempt
        count = len(indexes)
        batch = Batch(call, list(indexes), [1] * count, b"r" * count, attempt=[first] * count, code=[code] * count,
                      micros=[micros] * count, container=number, seq=self.seq if seq is None else seq)  # fmt: skip
        self.dispatcher.results(self.now, worker, batch)
        self.after()
        return self.seq

    def mixed_results(self, number: int, codes: dict[int, int]) -> None:
        """One batch of results of several kinds."""
        self.seq += 1
        count = len(codes)
        first = self.dispatcher.core.first_attempt
        batch = Batch(CALL, list(codes), [1] * count, b"r" * count, attempt=[first] * count, code=list(codes.values()),
                      micros=[1000] * count, container=number, seq=self.seq)  # fmt: skip
        self.dispatcher.results(self.now, WORKER, batch)
        self.after()

    def taken_back(self, number: int, *indexes: int, call: str = CALL) -> None:
        inputs = [Held(call, [index], [0]) for index in indexes]
        self.dispatcher.taken_back(self.now, WORKER, TakenBack(number, inputs))
        self.after()

    def warm(self, micros: int = 100) -> int:
        """A ready container whose pace is known; the number of it. Input 0 has been run."""
        self.open()
        self.put(0)
        (number,) = self.start_all()
        self.results(number, 0, micros=micros)
        self.actions.clear()
        return number

    def warm_two(self, micros: int = 400) -> tuple[int, int]:
        """Two ready containers whose pace is known; their numbers."""
        one, two = self.start_all()
        self.open()
        self.put(0, 1)
        for number, indexes in self.runs():
            self.results(number, *indexes, micros=micros)
        self.actions.clear()
        return one, two
