"""Whole runs of the simulated world: who is there, what goes wrong, and what must be true at the end."""

from __future__ import annotations

from dataclasses import dataclass, replace

from ionian.core.endings import DEATHS, START_TRIES
from ionian.core.function import runs_several
from ionian.protocol.batch import DONE, ERROR, LOST
from ionian.protocol.spec import (
    Batching,
    Concurrency,
    FunctionSpec,
    GpuRequest,
    Resources,
    RetryPolicy,
    Scaling,
)
from ionian.protocol.workers import Capacity, Device

from .clients import SimCall, SimClient
from .containers import Work
from .links import TO_PEER, TO_SERVER, Link
from .store import SimSpawn, SimSpawner
from .workers import SimWorker
from .world import LATE_S, Event, World

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
    deploys: int = 0  # changed versions, rollovers, recreations, other scalings
    removals: int = 0  # of a function
    partitions: int = 0  # half of all are cut off for some seconds
    deaf: int = 0  # connections that carry nothing one way, before they break
    late: int = 0  # connections that carry something seconds late, or deliver it behind their end
    repeats: int = 0  # what was said before is said again
    leaps: int = 0  # of the server's clock
    stalls: int = 0  # the server's process stands still
    cancels: int = 0  # of a spawned call
    span_s: float = 10.0


KINDS = {
    "nothing goes wrong": Faults(span_s=0.0),
    "connections are cut": Faults(cuts=12),
    "the server is killed": Faults(server_kills=3, cuts=3),
    "containers, workers and clients are killed": Faults(
        container_kills=5, worker_kills=3, client_kills=1, cuts=3
    ),
    "workers are out of reach for long": Faults(
        cuts=8, long_cuts=2, server_kills=2, container_kills=2, worker_kills=1, client_kills=1, span_s=60.0
    ),
    "deploys while calls run": Faults(deploys=8, cuts=3),
    "messages are late, lost and repeated": Faults(partitions=3, deaf=8, late=20, repeats=40, cuts=3),
    "clocks leap and the server stands still": Faults(leaps=4, stalls=3, cuts=8, server_kills=1, span_s=30.0),
    "spawned calls while the server is killed": Faults(
        server_kills=5,
        cuts=5,
        container_kills=2,
        worker_kills=1,
        stalls=1,
        cancels=2,
        repeats=10,
        span_s=15.0,
    ),
    "everything at once": Faults(
        partitions=1,
        deaf=2,
        late=5,
        repeats=10,
        leaps=1,
        stalls=1,
        cancels=1,
        cuts=5,
        long_cuts=1,
        server_kills=1,
        container_kills=3,
        worker_kills=1,
        client_kills=1,
        deploys=5,
        removals=1,
        span_s=30.0,
    ),
}


def play(seed: int, kind: str | None = None, *, workers: int = 5, inputs: int = 300) -> None:
    """A story of a kind, or of the kind that follows from the seed. A failure says how it is played again."""
    kind = kind or list(KINDS)[seed % len(KINDS)]
    try:
        Story(seed, workers=workers, inputs=inputs, faults=KINDS[kind]).play()
    except Exception as error:
        raise failure(f"seed {seed} ({kind})", error, seed, workers, inputs) from error


def failure(
    what: str, error: Exception, seed: int, workers: int, inputs: int, more: str = ""
) -> AssertionError:
    """How a story failed, and the command that plays it again."""
    again = f"python -m tests.simulation.soak --first {seed} --seeds 1 --workers {workers} --inputs {inputs}{more}"
    return AssertionError(f"{what}: {type(error).__name__} {error}; again: {again}")


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
        capacities: list[Capacity] | None = None,
        windows: tuple[int, ...] = (20, 200, 4000),
        maxima: tuple[int, ...] = (0, 2, 10),
    ) -> None:
        """`specs`: the functions and what they do; else three at random. `capacities`: of the workers. `windows`: inputs
        without a result that a call has at most, and the store of each function. `maxima`: what a deploy may set
        max_containers to."""
        self.world = World(seed, check_every)
        self.world.server.store.window = self.world.random.choice(windows)
        self._windows, self._maxima = windows, maxima
        self.random = self.world.random
        self.faults = faults
        self.work: dict[str, Work] = {}
        self.workers: list[SimWorker] = []
        for spec, work in specs or [self._function(f"fu-{number}") for number in range(3)]:
            self.work[spec.function_id] = work
            self.world.server.add(spec)
        for number in range(workers):
            self.add_worker(capacities[number % len(capacities)] if capacities else None)
        self.clients = [self._client(number, inputs // 4) for number in range(3)]
        self.spawner = self._spawner(inputs // 4)
        for client in self.clients:
            self.world.counts.update({call.id: call.count for call in client.calls.values()})
        self.world.counts.update({call.id: call.count for call in self.spawner.calls.values()})
        self._plan()

    def _function(self, id: str) -> tuple[FunctionSpec, Work]:
        random = self.random
        work = Work(
            seconds=random.choice([0.000002, 0.0003, 0.004, 0.08, 0.5]),
            slow_every=random.choice([0, 0, 60]),
            deadly_every=random.choice([0, 0, 0, 97]),
            unlucky_every=random.choice([0, 0, 0, 50]),
            late_every=random.choice([0, 0, 0, 80]),
            fails_every=random.choice([0, 0, 0, 20]),
            fails_times=random.choice([1, 2, 1 << 30]),
            yields=random.choice([0, 0, 0, 3]),
            stubborn=random.random() < 0.1,
        )
        scaling = Scaling(
            max_containers=random.choice([0, 1, 4, 10]),
            buffer_containers=random.choice([0, 0, 2]),
            scaledown_window_s=random.choice([2.0, 20.0]),
        )
        spec = FunctionSpec(id, id, "m", "f", is_generator=bool(work.yields), scaling=scaling)
        spec.resources = Resources(cpu_milli=random.choice([125, 1000]), memory_mib=128)
        spec.single_use = random.random() < 0.1
        spec.scaling.min_containers = random.choice([0, 0, 0, 1])
        # What `min_containers` holds it holds for ever: of the only GPUs, others would never get any.
        if random.random() < 0.2 and not spec.scaling.min_containers:
            spec.resources.gpus = [GpuRequest("A100", random.choice([1, 4]))]
        if not work.yields:
            self._shape(spec)
        if not (work.yields or spec.resources.gpus or runs_several(spec)) and random.random() < 0.1:
            self._meets(spec, work)
        return spec, work

    def _meets(self, spec: FunctionSpec, work: Work) -> None:
        """Inputs that wait for each other, with room to do so."""
        work.meets, work.slow_every = self.random.choice([2, 3]), 0
        spec.scaling.max_containers, spec.resources.cpu_milli = 0, 125

    def _shape(self, spec: FunctionSpec) -> None:
        """Retries, concurrency, batches."""
        random = self.random
        if random.random() < 0.5:
            spec.retries = RetryPolicy(
                random.choice([0, 1, 3]), random.choice([1.0, 2.0]), random.choice([0.0, 1.0])
            )
        if random.random() < 0.3:
            spec.concurrency = Concurrency(random.choice([2, 10]), random.choice([0, 1]))
        if random.random() < 0.2:
            spec.batching = Batching(random.choice([2, 8]), 20)

    def add_worker(self, capacity: Capacity | None = None) -> None:
        """One more worker joins."""
        if capacity is None:
            gpus = self.random.choice([0, 0, 4]) if self.workers else 4
            devices = [Device(f"gpu={number}", "A100-40GB", 40960) for number in range(gpus)]
            capacity = Capacity(self.random.choice([2000, 8000]), 8192, devices)
        worker = SimWorker(self.world, f"wo-{len(self.workers)}", capacity, self.work)
        if self.faults.leaps:
            worker.clock = self.random.choice([1.0, 0.0, 3.0, 1e9])
        self.workers.append(worker)
        self.world.join(worker)

    def _client(self, number: int, inputs: int) -> SimClient:
        random = self.random
        calls: list[SimCall] = []
        while inputs > 0:
            count = min(inputs, random.choice([1, 10, 100, inputs]))
            call = SimCall(f"fc-{number}-{len(calls)}".ljust(29, "0"), random.choice(list(self.work)), count)
            call.window = random.choice(self._windows)
            if random.random() < 0.1:
                call.breaks_at = count // 2 + 1
                call.ends = random.choice(["close", "cancel", "terminate"])
            calls.append(call)
            inputs -= count
        client = SimClient(self.world, f"cl-{number}", calls)
        self.world.after(random.random() * 2, lambda: self.world.join(client))
        return client

    def _spawner(self, inputs: int) -> SimSpawner:
        random = self.random
        able = [id for id, work in self.work.items() if not work.yields]
        calls: list[SimSpawn] = []
        while inputs > 0 and able:
            count = min(inputs, random.choice([1, 10, 100, inputs]))
            calls.append(SimSpawn(f"fc-s-{len(calls)}".ljust(29, "0"), random.choice(able), count))
            inputs -= count
        spawner = SimSpawner(self.world, "cl-s", calls)
        self.world.after(random.random() * 2, lambda: self.world.join(spawner))
        return spawner

    def _plan(self) -> None:
        random, faults = self.random, self.faults

        def at_random(count: int, fault: Event) -> None:
            for _ in range(count):
                self.world.after(random.random() * faults.span_s, fault)

        self.world.after(faults.span_s + 0.001, lambda: None)
        at_random(faults.cuts, lambda: self._cut(random.choice([0.05, 1.0, 8.0])))
        at_random(faults.long_cuts, lambda: self._cut_worker(random.choice([15.0, 70.0, 100.0])))
        at_random(faults.long_cuts, lambda: self._cut_client(random.choice([50.0, 62.0, 70.0, 100.0])))
        at_random(faults.server_kills, lambda: self.world.server.kill(random.choice([0.05, 2.0])))
        at_random(faults.container_kills, self._kill_container)
        at_random(faults.worker_kills, self._kill_worker)
        at_random(faults.deploys, self._deploy)
        at_random(faults.removals, self._remove)
        at_random(faults.partitions, self._part)
        at_random(faults.deaf, lambda: self._any_link().go_deaf(self._way(), random.choice([0.05, 2.0])))
        at_random(faults.late, lambda: self._any_link().delay(self._way(), random.choice([0.2, LATE_S])))
        at_random(faults.late // 2, lambda: self._any_link().cut(random.choice([0.0, 0.1]), lingers=True))
        at_random(faults.repeats, self._repeat)
        at_random(faults.leaps, lambda: self.world.server.leap(random.choice([0.5, 5.0, 30.0, 70.0, 4000.0])))
        at_random(faults.stalls, lambda: self.world.server.stall(random.choice([0.3, 3.0, 15.0, 70.0])))
        at_random(faults.cancels, self._cancel)
        at_random(faults.client_kills, lambda: random.choice(self.clients).kill() if self._joined() else None)

    def _joined(self) -> bool:
        return all(client.id in self.world.links for client in self.clients)

    def _any_link(self) -> Link:
        return self.world.links[self.random.choice(list(self.world.links))]

    def _way(self) -> int:
        return self.random.choice([TO_SERVER, TO_PEER])

    def _cut(self, seconds: float) -> None:
        self._any_link().cut(seconds)

    def _part(self) -> None:
        """The network is parted: about half of all don't reach the server."""
        seconds = self.random.choice([0.5, 8.0])
        for link in self.world.links.values():
            if self.random.random() < 0.5:
                link.cut(seconds + self.random.random())

    def _repeat(self) -> None:
        peer = self.random.choice([*self.workers, *self.clients])
        if peer.alive and peer.id in self.world.links:
            peer.repeat()

    def _cancel(self) -> None:
        spawner = self.spawner
        if spawner.calls and spawner.id in self.world.links:
            call = self.random.choice(list(spawner.calls.values()))
            spawner.cancel(call, terminate=self.random.random() < 0.5)

    def _cut_worker(self, seconds: float) -> None:
        self.world.links[self.random.choice(self.workers).id].cut(seconds)

    def _cut_client(self, seconds: float) -> None:
        client = self.random.choice(self.clients)
        if client.id in self.world.links:
            self.world.links[client.id].cut(seconds)

    def _deploy(self) -> None:
        """A version of a function that differs, or the same again, or only other numbers of containers."""
        server, random = self.world.server, self.random
        function_id = random.choice(list(self.work))
        if function_id in server.dropped:
            return
        spec = server.spec(function_id)
        match random.choice(["changed", "changed", "same", "rollover", "recreate", "scaling"]):
            case "changed":
                server.add(replace(spec, image_id=f"im-{spec.version}", version=spec.version + 1))
            case "same":
                server.add(replace(spec))
            case "rollover":
                server.say(lambda d, now: d.rollover(now, function_id))
            case "recreate":
                server.say(lambda d, now: d.recreate(now, function_id))
            case _:
                server.capped.add(function_id)
                most = random.choice(self._maxima)
                if self.work[function_id].meets:
                    most = 0  # they could not meet
                scaling = Scaling(0, most, 0, random.choice([2.0, 20.0]))
                server.add(replace(spec, scaling=scaling))

    def _remove(self) -> None:
        function_id = self.random.choice(list(self.work))
        server = self.world.server
        if len(server.dropped) < 2:
            server.remove(function_id)

    def _kill_container(self) -> None:
        worker = self.random.choice(self.workers)
        if worker.containers:
            worker.containers[self.random.choice(list(worker.containers))].die("signal")

    def _kill_worker(self) -> None:
        alive = [worker for worker in self.workers if worker.alive]
        if len(alive) > 1:
            worker = self.random.choice(alive)
            worker.kill()
            self.world.after(1.0, lambda: self.add_worker(worker.capacity))

    # The end

    def play(self) -> None:
        """Until all callers have what they wanted, and then until all is quiet; checks both."""
        self.world.run(lambda: self.world.now > self.faults.span_s and self._served(), LIMIT_S)
        for client in self.clients:
            if client.alive:
                self._check_results(client)
        self._check_kept()
        self.world.run(self._quiet, self.world.now + 400.0)
        self._check_nothing_left()

    def _served(self) -> bool:
        spawned = self.spawner.id in self.world.links and self.spawner.done
        kept = all(kept.over or kept.finished for kept in self.world.server.store.calls.values())
        return spawned and kept and self._joined() and all(client.done for client in self.clients)

    def _quiet(self) -> bool:
        core = self.world.server.dispatcher.core
        return (
            self.world.server.alive
            and all(link.up for link in self.world.links.values() if link.peer.alive)
            and not core.calls
            and not core.early_results
            and not core.early_held
            and not any(
                len(function.containers) > function.spec.scaling.min_containers
                for function in core.functions.values()
            )
            and not any(worker.unconfirmed for worker in self.workers if worker.alive)
            and not any(
                worker.count(id) > (0 if id in self.world.server.dropped else self._least(id))
                for worker in self.workers
                for id in self.work
                if worker.alive
            )
            and not any(caller.outbox for caller in core.delivery.callers.values())
        )

    def _least(self, function_id: str) -> int:
        return self.world.server.spec(function_id).scaling.min_containers

    def _check_results(self, client: SimClient) -> None:
        seed = self.world.seed
        for call in client.calls.values():
            if call.refused:
                continue
            assert len(call.results) >= min(call.count, call.breaks_at), f"seed {seed}: results are missing"
            for index, code in call.results.items():
                self._check_result(call, index, code)

    def _check_kept(self) -> None:
        """What was acknowledged has its result in the store."""
        kept = self.world.server.store.calls
        for call in self.spawner.calls.values():
            if call.cancelled or call.function_id in self.world.server.dropped:
                continue
            where = f"seed {self.world.seed}: {call.id}"
            assert set(kept[call.id].results) == call.acknowledged == set(range(call.count)), where
            for index, code in kept[call.id].results.items():
                self._check_result(call, index, code)

    def _check_result(self, call: SimCall | SimSpawn, index: int, code: int) -> None:
        work, server = self.work[call.function_id], self.world.server
        where = f"seed {self.world.seed}: {call.id}:{index}"
        removed = call.function_id in server.dropped
        policy = None if removed else server.spec(call.function_id).retries
        retries = policy.max_retries if policy is not None else 0
        dies = work.late(index) or work.kills(index, 2)
        # A start of the server counts anew, so there may be more; never fewer than the policy promises.
        counted = sum(run.failed or run.died for run in self.world.runs.get((call.id, index), ()))
        if code == LOST:
            least = retries + 1 if retries or work.late(index) else DEATHS
            harmed = self._harmed(call.function_id)
            assert removed or counted >= least or harmed, f"{where} was lost after {counted} of {least} tries"
        elif code == ERROR:
            assert work.fails(index, 1), f"{where} failed"
            assert removed or counted > retries, f"{where} failed after {counted} of {retries + 1} tries"
        else:
            assert not dies, f"{where} can't have a result"
            assert not work.fails(index, 1 << 29), f"{where} can't have a result"
        if code == DONE and isinstance(call, SimCall):
            assert call.items.get(index, 0) == work.yields, f"{where}: items are missing"
        self._check_retries(call, index, code, retries, where, certain=not removed and not dies)

    def _check_retries(
        self, call: SimCall | SimSpawn, index: int, code: int, retries: int, where: str, *, certain: bool
    ) -> None:
        """Where nothing was killed, an input that raised was tried as often as its policy says, no more, no less. Of a
        spawned one a kill of the server forgets no try that was on disk."""
        faults, work = self.faults, self.work[call.function_id]
        harm = faults.container_kills + faults.worker_kills + faults.long_cuts + faults.leaps + faults.stalls
        if not certain or harm or work.kills(index, 1):
            return
        failed = sum(run.failed and not run.lost for run in self.world.runs.get((call.id, index), ()))
        if faults.server_kills:
            if isinstance(call, SimSpawn) and not self.world.gave_up():
                most = retries + 1 + self.world.server.store.calls[call.id].forgotten[index]
                assert failed <= most, f"{where} failed {failed} times with {retries} retries"
            return
        if code == ERROR:
            assert failed == retries + 1, f"{where} failed {failed} times with {retries} retries"
        else:
            assert failed <= retries, f"{where} failed {failed} times with {retries} retries and was right"

    def _harmed(self, function_id: str) -> bool:
        """Whether an input may be lost untried: a generator's whose container was lost; one of a function whose
        containers did not start again and again."""
        faults, work = self.faults, self.work[function_id]
        lost = faults.long_cuts + faults.server_kills + faults.container_kills + faults.worker_kills
        lost += faults.partitions + faults.deaf + faults.late + faults.leaps + faults.stalls
        ended = any(call.ends == "terminate" for client in self.clients for call in client.calls.values())
        ended = ended or faults.cancels
        begun = lost or faults.cuts or faults.deploys or work.unlucky_every or ended
        return bool(work.yields and begun) or self.world.idle_deaths.get(function_id, 0) >= START_TRIES

    def _check_nothing_left(self) -> None:
        core = self.world.server.dispatcher.core
        core_check = self.world.server.dispatcher.check
        core_check()
        assert not core.early_results
        assert not core.early_held
        assert all(not worker.unconfirmed for worker in core.workers.values())
        assert all(not function.queued and not function.running for function in core.functions.values())
