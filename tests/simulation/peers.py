"""Simulated workers with their containers, and clients: what the real ones promise, and no more."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

from ionian.core.actions import Action, Cancel, ConfirmResults, Deliver, Failed, Run, Start, Stop, Take
from ionian.core.function import runs_several
from ionian.protocol.batch import BLOB, DONE, ERROR, LOST, OK, YIELD, Batch
from ionian.protocol.workers import Capacity, ContainerState, Held, Running, TakenBack, Usage

from .world import Run1, World

FLUSH_S = 0.0005
"""An agent joins results, but sends what it has once an input took this long."""


@dataclass
class Work:
    """What the inputs of a function do, by their index."""

    seconds: float = 0.001
    slow_every: int = 0  # so many inputs, one is a straggler
    slow_seconds: float = 2.0
    deadly_every: int = 0  # so many inputs, one kills its container, whenever it runs
    unlucky_every: int = 0  # the same, but only when it runs first
    late_every: int = 0  # the same, runs into its timeout
    fails_every: int = 0  # so many inputs, one raises
    fails_times: int = 1 << 30  # but only so often
    yields: int = 0
    stubborn: bool = False  # it does not end when it is cancelled

    def takes(self, index: int) -> float:
        """How long an input runs."""
        return self.slow_seconds if self.slow_every and index % self.slow_every == 3 else self.seconds

    def kills(self, index: int, runs: int) -> bool:
        """Whether it ends its container."""
        unlucky = self.unlucky_every and index % self.unlucky_every == 5 and runs == 1
        return bool((self.deadly_every and index % self.deadly_every == 7) or unlucky)

    def fails(self, index: int, runs: int) -> bool:
        """Whether it raises."""
        return bool(self.fails_every and index % self.fails_every == 13 and runs <= self.fails_times)

    def late(self, index: int) -> bool:
        """Whether it runs into its timeout."""
        return bool(self.late_every and index % self.late_every == 11)


@dataclass
class Claim:
    """An input that a container has claimed."""

    index: int
    attempt: int
    run: Run1 | None = None
    call_id: str = ""
    code: int = OK


@dataclass
class SimContainer:
    """An agent: claims one packet at a time, runs it input by input."""

    worker: SimWorker
    number: int
    id: str
    function_id: str
    devices: list[str] = field(default_factory=list[str])
    ready: bool = False
    alive: bool = True
    packets: deque[Batch] = field(default_factory=deque[Batch])
    call_id: str = ""
    claimed: deque[Claim] = field(default_factory=deque[Claim])  # what is not sent as a result yet
    done: list[Claim] = field(default_factory=list[Claim])
    micros: list[int] = field(default_factory=list[int])

    def step(self) -> None:
        """Runs the next input, if there is one."""
        world = self.worker.world
        if not self.alive or (self.claimed and self.claimed[0].run is not None):
            return
        if not self.claimed:
            self.flush()
            if not self.packets:
                return
            packet = self.packets.popleft()
            self.call_id = packet.call_id
            self.claimed.extend(claims_of(packet))
        claim = self.claimed[0]
        work, took, runs = self.begin(claim)
        if work.late(claim.index):
            world.after(1.0, lambda: self.die("timeout") if claim in self.claimed else None)
        elif work.kills(claim.index, runs):
            world.after(took, lambda: self.die("exit") if claim in self.claimed else None)
        else:
            if took > FLUSH_S:
                self.flush()
            if work.yields:
                self.flush()
                world.after(took / 2, lambda: self._yield(claim, work.yields))
            world.after(took, lambda: self._finish(claim, took))

    def begin(self, claim: Claim) -> tuple[Work, float, int]:
        """An input begins to run: what it does, how long it takes, and which run of it this is."""
        world = self.worker.world
        claim.run = world.begin_run(claim.call_id, claim.index, claim.attempt, self.id, self.worker.id)
        work = self.worker.work[self.function_id]
        runs = len(world.runs[claim.call_id, claim.index])
        if work.fails(claim.index, runs):
            claim.code = ERROR
        elif work.yields:
            claim.code = DONE
        return work, work.takes(claim.index), runs

    @property
    def busy(self) -> bool:
        """Whether it has anything."""
        return bool(self.claimed or self.packets)

    def give(self, packet: Batch) -> None:
        """Inputs arrive."""
        self.packets.append(packet)
        self.step()

    def take_all(self) -> list[Held]:
        """What it has not claimed, and will not run."""
        taken = _held(self.packets)
        self.packets.clear()
        return taken

    def holds(self) -> list[Held]:
        """For the inventory. What has a result is not among it: the results follow."""
        held = _held(self.packets)
        mine = [*self.done, *self.claimed]
        if mine:
            held.append(Held(self.call_id, [c.index for c in mine], [c.attempt for c in mine]))
        return held

    def under_way(self) -> list[Claim]:
        """What is lost if it ends now."""
        return [*self.done, *self.claimed]

    def _yield(self, claim: Claim, count: int) -> None:
        if self.alive:
            for item in range(count):
                self.worker.result(self, [claim], [YIELD], [item])

    def _finish(self, claim: Claim, took: float) -> None:
        if not self.alive or claim not in self.claimed:
            return  # it was interrupted
        assert claim.run is not None
        claim.run.ended = True
        claim.run.failed = claim.code == ERROR
        self.claimed.popleft()
        self.done.append(claim)
        self.micros.append(int(took * 1e6))
        if took > FLUSH_S or len(self.done) >= 64 or self.worker.work[self.function_id].yields:
            self.flush()
        self.step()

    def take_some(self, call_id: str, indexes: set[int]) -> list[Held]:
        """What it has not claimed of these, which it will not run."""
        taken: list[Held] = []
        for packet in list(self.packets):
            rows = [row for row, index in enumerate(packet.index) if index in indexes]
            if packet.call_id != call_id or not rows:
                continue
            self.packets.remove(packet)
            if len(rows) < len(packet):  # packets are claimed whole: all of it goes back
                rows = list(range(len(packet)))
            taken.append(Held(call_id, [packet.index[r] for r in rows], [packet.attempt[r] for r in rows]))
        return taken

    def interrupt(self, action: Cancel) -> None:
        """What runs of these ends soon, or is killed with the container at the end of the grace."""
        if not self.claimed or self.call_id != action.call_id or self.claimed[0].index not in action.index:
            return
        claim, world = self.claimed[0], self.worker.world
        if self.worker.work[self.function_id].stubborn:
            world.after(action.grace_s, lambda: self.die("stopped") if claim in self.claimed else None)
        else:
            world.after(0.01, lambda: self._finish(claim, 0.01))

    def flush(self) -> None:
        """Sends the results it has."""
        if self.done:
            self.worker.result(self, self.done, [claim.code for claim in self.done], self.micros)
            self.done, self.micros = [], []

    def die(self, why: str) -> None:
        """It ends, and everything in it."""
        if not self.alive:
            return
        self.alive = False
        lost = [*self.claimed, *self.done]  # the worker knows which input runs
        for claim in lost:
            if claim.run is not None:
                claim.run.lost = True
        running = [Held(self.call_id, [c.index for c in lost], [c.attempt for c in lost])] if lost else []
        self.worker.ended(self, why, running, _held(self.packets))


def claims_of(packet: Batch) -> list[Claim]:
    """The inputs of a packet."""
    return [
        Claim(index, attempt, None, packet.call_id)
        for index, attempt in zip(packet.index, packet.attempt, strict=True)
    ]


def _held(packets: deque[Batch]) -> list[Held]:
    return [Held(packet.call_id, list(packet.index), list(packet.attempt)) for packet in packets]


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

    def connected(self) -> None:
        """First the inventory, then results, then ends."""
        running = [
            Running(c.number, c.id, c.function_id, "ap-1", c.ready, c.holds(), self.world.specs[c.id].version)
            for c in self.containers.values()
        ]
        self.world.server.hear(self, lambda d, now: d.worker_joined(now, self.id, self.capacity, running))
        self.world.server.live_workers.add(self.id)
        for batch in self.unconfirmed.values():
            self._send_result(batch)
        for state in self.unsaid:
            self._say(state)
        self.unsaid.clear()

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
            case Deliver() | Failed():
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
        where = f"seed {self.world.seed}, {self.world.now:.3f} s, {self.id}"
        if self.world.forgetful:
            return
        assert len(devices) == len(set(devices)), f"{where}: a device is given twice"
        resources = [self.world.specs[container.id].resources for container in self.containers.values()]
        assert sum(r.memory_mib for r in resources) <= self.capacity.memory_mib, f"{where}: too much memory"
        assert sum(r.cpu_milli for r in resources) <= self.capacity.cpu_milli, f"{where}: too many cores"

    def _run(self, batch: Batch) -> None:
        container = self.containers.get(batch.container)
        if container is None:
            held = [Held(batch.call_id, list(batch.index), list(batch.attempt))]
            message = TakenBack(batch.container, held)
            self.world.server.hear(self, lambda d, now: d.taken_back(now, self.id, message))
            return
        assert container.ready, "inputs are for containers that are ready"
        container.give(batch)

    def _take(self, number: int) -> None:
        container = self.containers.get(number)
        inputs: list[Held] = []
        if container is not None:
            inputs = container.take_all()
        message = TakenBack(number, inputs)
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
        if action.grace_s and not container.busy:
            self.world.after(min(0.1, action.grace_s), lambda: container.die("stopped"))
        else:
            container.die("stopped")

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
        copy = Batch(batch.call_id, list(batch.index), list(batch.size), batch.payload, attempt=list(batch.attempt),
                     code=list(batch.code), micros=list(batch.micros), container=batch.container,
                     seq=batch.seq)  # fmt: skip
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


class SharedContainer(SimContainer):
    """An agent that runs several inputs at once, or lists of them."""

    def __init__(self, worker: SimWorker, number: int, id: str, function_id: str, devices: list[str]) -> None:
        super().__init__(worker, number, id, function_id, devices)
        spec = worker.world.specs[id]
        self.most = spec.concurrency.max_inputs
        self.size = spec.batching.max_batch_size if spec.batching is not None else 1
        self.wait_s = spec.batching.wait_ms / 1000 if spec.batching is not None else 0.0
        self.groups: list[list[Claim]] = []
        self.collecting = False

    @property
    def busy(self) -> bool:
        return bool(self.groups or self.packets)

    def give(self, packet: Batch) -> None:
        for row, (index, attempt) in enumerate(zip(packet.index, packet.attempt, strict=True)):
            assert packet.size[row] == 4
            self.packets.append(Batch(packet.call_id, [index], [4], b"", attempt=[attempt]))
        self.step()

    def step(self) -> None:
        """Begins as many as may run at once."""
        if self.alive and self.packets and len(self.groups) < self.most and not self.collecting:
            self.collecting = True
            self.worker.world.after(self.wait_s, self._collect)

    def _collect(self) -> None:
        self.collecting = False
        if not self.alive or not self.packets:
            return
        group: list[Claim] = []
        while self.packets and len(group) < self.size:
            group += claims_of(self.packets.popleft())
        self.groups.append(group)
        began = [(claim, *self.begin(claim)) for claim in group]
        took = max(took for _, _, took, _ in began)
        for claim, work, _, runs in began:
            if work.late(claim.index):
                self.worker.world.after(1.0, lambda claim=claim: self.die("timeout", claim))
                return
            if work.kills(claim.index, runs):
                self.worker.world.after(took, lambda claim=claim: self.die("exit", claim))
                return
        self.worker.world.after(took, lambda: self._end(group, took))
        self.step()

    def _end(self, group: list[Claim], took: float) -> None:
        if not self.alive or group not in self.groups:
            return
        self.groups.remove(group)
        for claim in group:
            assert claim.run is not None
            claim.run.ended = True
            claim.run.failed = claim.code == ERROR
            self.worker.result(self, [claim], [claim.code], [int(took * 1e6)])
        self.step()

    def holds(self) -> list[Held]:
        return [*_held(self.packets), *(Held(c.call_id, [c.index], [c.attempt]) for c in self.under_way())]

    def under_way(self) -> list[Claim]:
        return [claim for group in self.groups for claim in group]

    def interrupt(self, action: Cancel) -> None:
        """Those that run end soon; a list of them as a whole, when nobody wants any of it."""
        for group in list(self.groups):
            if all(claim.call_id == action.call_id and claim.index in action.index for claim in group):
                self.worker.world.after(0.01, lambda group=group: self._end(group, 0.01))

    def die(self, why: str, first: Claim | None = None) -> None:
        """It ends, and everything in it. `first`: whose fault it was; the worker knows it of a timeout."""
        if not self.alive or (first is not None and first not in self.under_way()):
            return
        self.alive = False
        lost = self.under_way()
        if why == "timeout" and first is not None:
            lost.remove(first)
            lost.insert(0, first)
        for claim in lost:
            if claim.run is not None:
                claim.run.lost = True
        running = [Held(claim.call_id, [claim.index], [claim.attempt]) for claim in lost]
        self.worker.ended(self, why, running, _held(self.packets))


@dataclass
class SimCall:
    """A call of a client."""

    id: str
    function_id: str
    count: int
    window: int = 200
    sent: int = 0
    results: dict[int, int] = field(default_factory=dict[int, int])
    items: dict[int, int] = field(default_factory=dict[int, int])
    opened: bool = False
    closed: bool = False
    refused: bool = False  # its function was removed before
    breaks_at: int = 1 << 60  # so many results are enough
    ends: str = "close"  # or "cancel", or "terminate"


class SimClient:
    """A caller: sends again what no result came for, and confirms what it got."""

    def __init__(self, world: World, id: str, calls: list[SimCall]) -> None:
        self.world = world
        self.id = id
        self.calls = {call.id: call for call in calls}
        self.alive = True
        self.epoch = 0
        self.seq = 0

    @property
    def done(self) -> bool:
        """Everything that it wanted came."""
        return not self.alive or all(call.closed for call in self.calls.values())

    def connected(self) -> None:
        """Opens its calls, again if need be."""
        server = self.world.server
        if self.epoch != server.epoch:
            self.epoch, self.seq = server.epoch, 0
        server.hear(self, lambda d, now: d.caller_back(now, self.id))
        for call in self.calls.values():
            if not call.closed:
                self._open(call)
            elif call.opened:
                self._close(call)

    def _open(self, call: SimCall) -> None:
        resumed, call.opened = call.opened, True

        def opened(d: object, now: float) -> None:
            opened = self.world.server.dispatcher.open_call(now, call.id, call.function_id, self.id, resumed)
            assert opened or call.function_id in self.world.server.dropped
            if not opened:
                call.refused = call.closed = True

        self.world.server.hear(self, opened)
        self._put(call, [index for index in range(call.sent) if index not in call.results])
        self._send_more(call)

    def _send_more(self, call: SimCall) -> None:
        while call.sent < call.count and call.sent - len(call.results) < call.window:
            upto = min(call.count, call.sent + self.world.random.randint(1, 64))
            self._put(call, list(range(call.sent, upto)))
            call.sent = upto

    def _put(self, call: SimCall, indexes: list[int]) -> None:
        if indexes:
            count = len(indexes)
            batch = Batch(call.id, indexes, [4] * count, b"".join(i.to_bytes(4, "little") for i in indexes))
            self.world.server.hear(self, lambda d, now: d.put(now, batch))

    def _close(self, call: SimCall) -> None:
        call.closed = True
        if call.ends == "close":
            self.world.server.hear(self, lambda d, now: d.close_call(now, call.id))
        else:
            terminate = call.ends == "terminate"
            self.world.server.hear(self, lambda d, now: d.cancel_call(now, call.id, terminate))

    def count(self, function_id: str) -> int:
        """A client has no containers."""
        return 0

    def receive(self, action: Action) -> None:
        """Results."""
        assert isinstance(action, Deliver)
        batch = action.batch
        if batch.seq <= self.seq:  # delivered again: its confirmation was lost
            last = self.seq
            self.world.server.hear(self, lambda d, now: d.confirm(now, self.id, last))
            return
        assert batch.seq == self.seq + 1, f"seed {self.world.seed}: a batch is missing before {batch.seq}"
        self.seq = seq = batch.seq
        call = self.calls[batch.call_id]
        assert len(set(batch.index)) == len(batch)
        for index, code, micros, payload in zip(
            batch.index, batch.code, batch.micros, batch.payloads(), strict=True
        ):
            self._row(call, index, code & ~BLOB, micros, payload)
        self.world.server.hear(self, lambda d, now: d.confirm(now, self.id, seq))
        if not call.closed:
            self._send_more(call)
            if len(call.results) >= min(call.count, call.breaks_at):
                self._close(call)

    def _row(self, call: SimCall, index: int, code: int, micros: int, payload: bytes) -> None:
        world = self.world
        if code == YIELD:
            assert index not in call.results or world.server.epoch > 1
            call.items[index] = max(call.items.get(index, 0), micros + 1)
            return
        again = index in call.results
        assert not again or world.server.epoch > 1, f"seed {world.seed}: two results for {call.id}:{index}"
        if not again:
            call.results[index] = code
        if code in (OK, DONE):
            assert int.from_bytes(payload, "little") == index
        else:
            assert code in (LOST, ERROR)

    def kill(self) -> None:
        """The client dies."""
        self.alive = False
        self.world.links[self.id].cut(1.0)
