"""Simulated workers: they keep results until these are confirmed, whatever becomes of their server."""

from __future__ import annotations

from math import inf

from ionian.core.actions import Action, Cancel, ConfirmResults, Deliver, Failed, Run, Start, Stop, Take, Tried
from ionian.core.dispatcher import Dispatcher
from ionian.core.function import runs_several
from ionian.protocol.batch import Batch
from ionian.protocol.workers import Capacity, ContainerState, Held, Running, TakenBack, Usage

from .containers import Claim, SharedContainer, SimContainer, Work
from .world import World


class SimWorker:
    """A worker: keeps results until they are confirmed, whatever becomes of its server."""

    def __init__(self, world: World, id: str, capacity: Capacity, work: dict[str, Work]) -> None:
        self.world = world
        self.id = id
        self.capacity = capacity
        self.work = work
        self.alive = True
        self.containers: dict[int, SimContainer] = {}
        self.unconfirmed: dict[int, Batch] = {}
        self.unsaid: list[ContainerState] = []  # ends that happened while the server was away
        self.seq = 0
        self.clock = 1.0  # how fast it goes

    def connected(self) -> None:
        """First the inventory, then results, then ends."""
        running = [
            Running(
                *(c.number, c.id, c.function_id, "ap-1", c.ready, c.holds()),
                version=self.world.specs[c.id].version,
                devices=c.devices,
                cpu_milli=self.world.specs[c.id].resources.cpu_milli,
                memory_mib=self.world.specs[c.id].resources.memory_mib,
            )
            for c in self.containers.values()
        ]

        generation, follows = self.world.links[self.id].generation, len(self.unconfirmed)

        def joined(d: Dispatcher, now: float) -> None:
            self.world.back(self.id, generation)
            d.worker_joined(now, self.id, self.capacity, running, follows=follows)
            self.world.server.store.worker_joined()

        self.world.server.hear(self, joined)
        self.world.server.live_workers.add(self.id)
        for batch in self.unconfirmed.values():
            self._send_result(batch)
        for state in self.unsaid:
            self._say(state)
        self.unsaid.clear()

    def waiting_since(self) -> float:
        """Since when something waits in one of its containers behind an input that runs."""
        return min((container.waiting_since() for container in self.containers.values()), default=inf)

    def micros(self, took: float) -> int:
        """A duration, as its clock has it."""
        return min(int(took * self.clock * 1e6), (1 << 32) - 1)

    def count(self, function_id: str) -> int:
        """The containers of a function that it has."""
        return sum(container.function_id == function_id for container in self.containers.values())

    def receive(self, action: Action) -> None:
        """The server says something."""
        match action:
            case Start():
                self._start(action)
            case Run():
                self._run(action.batch)
            case Take():
                self._take(action.number)
            case Stop():
                self._stop(action)
            case ConfirmResults():
                for seq in action.seqs:
                    self.unconfirmed.pop(seq, None)
            case Cancel():
                self._cancel(action)
            case Deliver() | Failed() | Tried():
                raise AssertionError("a worker makes no calls")

    def _start(self, action: Start) -> None:
        assert action.number not in self.containers
        spec = self.world.specs[action.container_id]
        kind = SharedContainer if runs_several(spec) else SimContainer
        container = kind(self, action.number, action.container_id, action.function_id, list(action.devices))
        self.containers[action.number] = container
        self._check_room()
        self.world.check_cap(action.function_id)

        def ready() -> None:
            if container.alive:
                container.ready = True
                self._say(ContainerState(container.number, "ready"), keep=False)

        self.world.after(0.05 + self.world.random.random() * 0.3, ready)

    def _check_room(self) -> None:
        """No device is given twice; no memory either, unless the server was right to think that we were gone."""
        devices = [name for container in self.containers.values() for name in container.devices]
        where = f"{self.world.where}, {self.id}"
        assert len(devices) == len(set(devices)), f"{where}: a device is given twice"
        resources = [self.world.specs[container.id].resources for container in self.containers.values()]
        memory, cores = sum(r.memory_mib for r in resources), sum(r.cpu_milli for r in resources)
        assert memory <= self.capacity.memory_mib or self.world.gave_up(), f"{where}: too much memory"
        assert cores <= self.capacity.cpu_milli or self.world.gave_up(), f"{where}: too many cores"

    def _run(self, batch: Batch) -> None:
        container = self.containers.get(batch.container)
        if container is None:
            held = [Held(batch.call_id, list(batch.index), list(batch.attempt))]
            message = TakenBack(batch.container, held)
            self.world.server.hear(self, lambda d, now: d.taken_back(now, self.id, message))
            return
        assert container.ready, "inputs are for containers that are ready"
        batch.seq = int(self.world.now * 1e6)  # when they came: it counts nothing on this way
        container.give(batch)

    def _take(self, number: int) -> None:
        container = self.containers.get(number)
        inputs: list[Held] = []
        if container is not None:
            inputs = container.take_all()
        message = TakenBack(number, inputs)
        self.world.server.hear(self, lambda d, now: d.taken_back(now, self.id, message))

    def gives_back(self, number: int, held: Held) -> None:
        """A container gives back what it had claimed and not begun."""
        message = TakenBack(number, [held])
        self.world.server.hear(self, lambda d, now: d.taken_back(now, self.id, message))

    def _cancel(self, action: Cancel) -> None:
        container = self.containers.get(action.number)
        if container is None:
            return
        inputs = container.take_some(action.call_id, set(action.index))
        if inputs:
            message = TakenBack(action.number, inputs)
            self.world.server.hear(self, lambda d, now: d.taken_back(now, self.id, message))
        container.interrupt(action)

    def _stop(self, action: Stop) -> None:
        container = self.containers.get(action.number)
        if container is None:
            return
        took = self.world.random.random() * 0.2  # a kill takes its time, too
        self.world.after(took, lambda: container.die("stopped"))

    def result(
        self, container: SimContainer, claims: list[Claim], codes: list[int], micros: list[int]
    ) -> None:
        """A container's results, of one call."""
        self.seq += 1
        call = claims[0].call_id
        count = len(micros)
        index = [claim.index for claim in claims]
        payload = b"".join(value.to_bytes(4, "little") for value in index)
        batch = Batch(call, index, [4] * count, payload, attempt=[c.attempt for c in claims], code=list(codes),
                      micros=list(micros), container=container.number, seq=self.seq)  # fmt: skip
        self.unconfirmed[self.seq] = batch
        self._send_result(batch)

    def _send_result(self, batch: Batch) -> None:
        copy = Batch(batch.call_id, batch.index, batch.size, batch.payload, attempt=batch.attempt,
                     code=batch.code, micros=batch.micros, container=batch.container, seq=batch.seq)  # fmt: skip
        self.world.server.hear(self, lambda d, now: d.results(now, self.id, copy))

    def ended(self, container: SimContainer, why: str, running: list[Held], unclaimed: list[Held]) -> None:
        """A container has ended."""
        self.containers.pop(container.number, None)
        state = ContainerState(container.number, "ended", why, running=running, unclaimed=unclaimed,
                               usage=Usage(wall_s=1.0))  # fmt: skip
        self._say(state)

    def _say(self, state: ContainerState, keep: bool = True) -> None:
        if not self.world.links[self.id].up:
            if keep:
                self.unsaid.append(state)
            return
        self.world.server.hear(self, lambda d, now: d.container_state(now, self.id, state))

    def repeat(self) -> None:
        """Says something again that it has said: results from the oldest on, as a worker does, whose items of a
        generator never come behind its end."""
        if self.unconfirmed and self.world.links[self.id].up:
            for batch in list(self.unconfirmed.values())[: self.world.random.randint(1, 3)]:
                self._send_result(batch)
        for container in self.containers.values():
            if container.ready:
                self._say(ContainerState(container.number, "ready"), keep=False)
                return

    def kill(self) -> None:
        """The machine dies, and all its containers."""
        self.alive = False
        for container in self.containers.values():
            container.alive = False
            for claim in container.under_way():
                if claim.run is not None:
                    claim.run.lost = True
        for batch in self.unconfirmed.values():
            for index in batch.index:
                for run in self.world.runs[batch.call_id, index]:
                    run.lost |= run.worker == self.id
        self.containers.clear()
        self.world.links[self.id].cut(1.0)
