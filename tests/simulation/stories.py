"""Whole runs of the simulated world: who is there, what goes wrong, and what must be true at the end."""

from __future__ import annotations

from dataclasses import dataclass

from ionian.protocol.batch import DONE, LOST, OK
from ionian.protocol.spec import FunctionSpec, Resources, Scaling
from ionian.protocol.workers import Capacity

from .peers import SimCall, SimClient, SimWorker, Work
from .world import Event, World

LIMIT_S = 3_000.0


@dataclass
class Faults:
    """How many of each, at random times in the first `span_s` seconds."""

    cuts: int = 0  # of a worker's or client's connection, for some seconds
    long_cuts: int = 0  # of a worker's, longer than the server waits
    server_kills: int = 0
    container_kills: int = 0
    worker_kills: int = 0
    client_kills: int = 0
    span_s: float = 10.0


class Story:
    """A world with workers, clients and faults, all from one seed."""

    def __init__(
        self,
        seed: int,
        *,
        workers: int = 5,
        inputs: int = 300,
        faults: Faults,
        check_every: int = 200,
        specs: list[tuple[FunctionSpec, Work]] | None = None,
    ) -> None:
        """`specs`: the functions and what they do; else three at random."""
        self.world = World(seed, check_every)
        self.random = self.world.random
        self.faults = faults
        self.work: dict[str, Work] = {}
        self.workers: list[SimWorker] = []
        for spec, work in specs or [self._function(f"fu-{number}") for number in range(3)]:
            self.work[spec.function_id] = work
            self.world.server.add(spec)
        for _ in range(workers):
            self.add_worker()
        self.clients = [self._client(number, inputs // 3) for number in range(3)]
        self._plan()

    def _function(self, id: str) -> tuple[FunctionSpec, Work]:
        random = self.random
        work = Work(
            seconds=random.choice([0.000002, 0.0003, 0.004, 0.08, 0.5]),
            slow_every=random.choice([0, 0, 60]),
            deadly_every=random.choice([0, 0, 0, 97]),
            unlucky_every=random.choice([0, 0, 0, 50]),
            late_every=random.choice([0, 0, 0, 80]),
            yields=random.choice([0, 0, 0, 3]),
        )
        scaling = Scaling(
            max_containers=random.choice([0, 1, 4, 10]),
            buffer_containers=random.choice([0, 0, 2]),
            scaledown_window_s=random.choice([2.0, 20.0]),
        )
        spec = FunctionSpec(id, id, "m", "f", is_generator=bool(work.yields), scaling=scaling)
        spec.resources = Resources(cpu_milli=random.choice([125, 1000]), memory_mib=128)
        spec.single_use = random.random() < 0.1
        return spec, work

    def add_worker(self) -> None:
        """One more worker joins."""
        capacity = Capacity(self.random.choice([2000, 8000]), 8192)
        worker = SimWorker(self.world, f"wo-{len(self.workers)}", capacity, self.work)
        self.workers.append(worker)
        self.world.join(worker)

    def _client(self, number: int, inputs: int) -> SimClient:
        random = self.random
        calls: list[SimCall] = []
        while inputs > 0:
            count = min(inputs, random.choice([1, 10, 100, inputs]))
            call = SimCall(f"fc-{number}-{len(calls)}".ljust(29, "0"), random.choice(list(self.work)), count)
            call.window = random.choice([20, 200, 4000])
            if random.random() < 0.1:
                call.breaks_at = count // 2 + 1
            calls.append(call)
            inputs -= count
        client = SimClient(self.world, f"cl-{number}", calls)
        self.world.after(random.random() * 2, lambda: self.world.join(client))
        return client

    def _plan(self) -> None:
        random, faults = self.random, self.faults

        def at_random(count: int, fault: Event) -> None:
            for _ in range(count):
                self.world.after(random.random() * faults.span_s, fault)

        self.world.at(faults.span_s + 0.001, lambda: None)
        at_random(faults.cuts, lambda: self._cut(random.choice([0.05, 1.0, 8.0])))
        at_random(faults.long_cuts, lambda: self._cut_worker(random.choice([15.0, 70.0, 100.0])))
        at_random(faults.server_kills, lambda: self.world.server.kill(random.choice([0.05, 2.0])))
        at_random(faults.container_kills, self._kill_container)
        at_random(faults.worker_kills, self._kill_worker)
        at_random(faults.client_kills, lambda: random.choice(self.clients).kill() if self._joined() else None)

    def _joined(self) -> bool:
        return all(client.id in self.world.links for client in self.clients)

    def _cut(self, seconds: float) -> None:
        self.world.links[self.random.choice(list(self.world.links))].cut(seconds)

    def _cut_worker(self, seconds: float) -> None:
        self.world.links[self.random.choice(self.workers).id].cut(seconds)

    def _kill_container(self) -> None:
        worker = self.random.choice(self.workers)
        if worker.containers:
            worker.containers[self.random.choice(list(worker.containers))].die("signal")

    def _kill_worker(self) -> None:
        alive = [worker for worker in self.workers if worker.alive]
        if len(alive) > 1:
            self.random.choice(alive).kill()
            self.world.after(1.0, self.add_worker)

    # The end

    def play(self) -> None:
        """Until all callers have what they wanted, and then until all is quiet; checks both."""
        self.world.run(lambda: self.world.now > self.faults.span_s and self._served(), LIMIT_S)
        for client in self.clients:
            if client.alive:
                self._check_results(client)
        self.world.run(self._quiet, self.world.now + 400.0)
        self._check_nothing_left()

    def _served(self) -> bool:
        return self._joined() and all(client.done for client in self.clients)

    def _quiet(self) -> bool:
        core = self.world.server.dispatcher.core
        return (
            self.world.server.alive
            and all(link.up for link in self.world.links.values() if link.peer.alive)
            and not core.calls
            and not any(function.containers for function in core.functions.values())
            and not any(worker.unconfirmed for worker in self.workers if worker.alive)
            and not any(worker.containers for worker in self.workers if worker.alive)
            and not any(caller.outbox for caller in core.delivery.callers.values())
        )

    def _check_results(self, client: SimClient) -> None:
        seed = self.world.seed
        for call in client.calls.values():
            work = self.work[call.function_id]
            assert len(call.results) >= min(call.count, call.breaks_at), f"seed {seed}: results are missing"
            for index, code in call.results.items():
                may_fail = work.late(index) or work.kills(index, 2) or self._harmed(work)
                assert code in (OK, DONE) or (code == LOST and may_fail), (
                    f"seed {seed}: {call.id}:{index} failed"
                )
                must_fail = work.late(index) or work.kills(index, 2)
                assert not (must_fail and code != LOST), f"seed {seed}: {call.id}:{index} can't have a result"
                if code == DONE:
                    assert call.items.get(index, 0) == work.yields, f"seed {seed}: items are missing"

    def _harmed(self, work: Work) -> bool:
        """Whether an innocent input may fail: a generator whose container was lost; one that was killed often."""
        faults = self.faults
        lost = faults.long_cuts + faults.server_kills + faults.container_kills + faults.worker_kills
        return (
            bool(work.yields and (lost or faults.cuts or work.unlucky_every)) or faults.container_kills >= 3
        )

    def _check_nothing_left(self) -> None:
        core = self.world.server.dispatcher.core
        core_check = self.world.server.dispatcher.check
        core_check()
        assert not core.early_results
        assert not core.early_held
        assert all(not worker.unconfirmed for worker in core.workers.values())
        assert all(not function.queued and not function.running for function in core.functions.values())
