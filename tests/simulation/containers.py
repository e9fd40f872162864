"""Simulated containers: what the agents of real ones promise, and no more."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from math import inf
from typing import TYPE_CHECKING

from ionian.core.actions import Cancel
from ionian.protocol.batch import DONE, ERROR, OK, YIELD, Batch
from ionian.protocol.workers import Held

from .world import Run1

if TYPE_CHECKING:
    from .workers import SimWorker

WAITS_S = 90.0
"""An input that waits for others gives up in the end: there may be no room for all of them."""

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
    meets: int = 0  # so many inputs, one behind the other, wait until all of them have begun
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
    given: float = 0.0  # when it came to this container
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
        elif work.meets:
            self.flush()
            world.meet(claim.call_id, claim.index, work.meets, WAITS_S, lambda: self._finish(claim, took))
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
        claim.run = world.begin_run(claim, self.id, self.worker.id)
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
        """What it has not claimed, and will not run. What it has claimed and not begun follows, when the code that runs
        lets it."""
        world, running = self.worker.world, self.claimed[0] if self.claimed else None
        if len(self.claimed) > 1:
            world.after(world.random.choice([0.0001, 0.2]), lambda: self._give_back(running))
        taken = _held(self.packets)
        self.packets.clear()
        return taken

    def _give_back(self, running: Claim | None) -> None:
        if self.alive and self.claimed and self.claimed[0] is running:
            rest = [self.claimed.pop() for _ in range(len(self.claimed) - 1)][::-1]
            if rest:
                self.worker.gives_back(
                    self.number, Held(self.call_id, [c.index for c in rest], [c.attempt for c in rest])
                )

    def waiting_since(self) -> float:
        """Since when something waits here behind an input that runs; infinity where nothing does."""
        if self.claimed and (first := self.claimed[0].run) and (len(self.claimed) > 1 or self.packets):
            return first.began
        return inf

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
        self.micros.append(self.worker.micros(took))
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
        self.lose(lost, why, lost[0] if lost else None)
        running = [Held(self.call_id, [c.index for c in lost], [c.attempt for c in lost])] if lost else []
        self.worker.ended(self, why, running, _held(self.packets))

    def lose(self, lost: list[Claim], why: str, blamed: Claim | None) -> None:
        """Notes what ends with it, and which of these it died of as far as anybody can know."""
        for claim in lost:
            if claim.run is not None:
                claim.run.lost = True
                claim.run.died = claim is blamed and why != "stopped"
        if not lost and why != "stopped":
            deaths = self.worker.world.idle_deaths
            deaths[self.function_id] = deaths.get(self.function_id, 0) + 1


def claims_of(packet: Batch) -> list[Claim]:
    """The inputs of a packet."""
    return [
        Claim(index, attempt, None, packet.call_id, packet.seq / 1e6)
        for index, attempt in zip(packet.index, packet.attempt, strict=True)
    ]


def _held(packets: deque[Batch]) -> list[Held]:
    return [Held(packet.call_id, list(packet.index), list(packet.attempt)) for packet in packets]


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
            self.packets.append(Batch(packet.call_id, [index], [4], b"", attempt=[attempt], seq=packet.seq))
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
        calls: dict[str, list[Claim]] = {}
        for claim in group:
            assert claim.run is not None
            claim.run.ended = True
            claim.run.failed = claim.code == ERROR
            calls.setdefault(claim.call_id, []).append(claim)
        for claims in calls.values():
            micros = [self.worker.micros(took)] * len(claims)
            self.worker.result(self, claims, [claim.code for claim in claims], micros)
        self.step()

    def waiting_since(self) -> float:
        return inf  # what it has runs at once, or is a list that is being filled

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
        self.lose(lost, why, lost[0] if why == "timeout" or len(lost) == 1 else None)
        running = [Held(claim.call_id, [claim.index], [claim.attempt]) for claim in lost]
        self.worker.ended(self, why, running, _held(self.packets))
