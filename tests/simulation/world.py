"""A world for the dispatcher, from a seed: a clock, links that lag and break, a server that restarts.

Nothing here is random but by the world's own generator, so a seed replays exactly. The peers are in `peers.py`,
the stories in `test_simulation.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Protocol

from ionian.core.actions import Action, Cancel, ConfirmResults, Deliver, Failed, Run, Start, Stop, Take
from ionian.core.dispatcher import Dispatcher
from ionian.protocol.spec import FunctionSpec

Event = Callable[[], None]

WORKER_LOST_AFTER_S = 60.0
INVENTORY_WAIT_S = 10.0


class Peer(Protocol):
    """A worker or a client, as the server's link sees it."""

    id: str
    alive: bool

    def connected(self) -> None:
        """The link to the server is up."""
        ...

    def receive(self, action: Action) -> None:
        """The server says something."""
        ...

    def count(self, function_id: str) -> int:
        """The containers of a function that it has."""
        ...


@dataclass
class Run1:
    """One run of one input: where, when, and whether something happened that excuses a second one."""

    container: str
    worker: str
    attempt: int
    began: float
    ended: bool = False
    lost: bool = False
    failed: bool = False  # it raised


@dataclass
class World:
    """The clock and what everyone's deeds are checked against."""

    seed: int
    check_every: int = 25
    now: float = 0.0
    events: int = 0
    runs: dict[tuple[str, int], list[Run1]] = field(default_factory=dict[tuple[str, int], list[Run1]])
    away: dict[str, list[list[float]]] = field(default_factory=dict[str, list[list[float]]])
    """Per worker: when it was out of the server's reach, from and until."""
    specs: dict[str, FunctionSpec] = field(default_factory=dict[str, FunctionSpec])
    """Per container: the version of its function that it was started with."""
    forgetful: bool = False  # workers are given up, or the server is killed: it can't know what they have

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._heap: list[tuple[float, int, Event]] = []
        self._count = 0
        self.peers: dict[str, Peer] = {}
        self.links: dict[str, Link] = {}
        self.server = Server(self)

    def after(self, seconds: float, event: Event) -> None:
        """Does something later."""
        self.at(self.now + seconds, event)

    def at(self, when: float, event: Event) -> None:
        """Does something at a time."""
        self._count += 1
        heappush(self._heap, (when, self._count, event))

    def run(self, done: Callable[[], bool], limit_s: float) -> None:
        """Lets time pass until `done`, which must be before `limit_s`."""
        while not done():
            assert self._heap, f"seed {self.seed}: nothing happens any more at {self.now:.3f} s"
            when, _, event = heappop(self._heap)
            self.now = max(self.now, when)
            assert self.now < limit_s, f"seed {self.seed}: not done after {limit_s:g} s"
            event()
            self.events += 1
            if self.events % self.check_every == 0:
                self.server.dispatcher.check()

    def join(self, peer: Peer) -> None:
        """A new peer connects."""
        self.peers[peer.id] = peer
        self.links[peer.id] = Link(self, peer)
        self.links[peer.id].connect()

    # What must hold

    def begin_run(self, call_id: str, index: int, attempt: int, container: str, worker: str) -> Run1:
        """An input begins to run: not twice in one attempt, and again only with an excuse."""
        runs = self.runs.setdefault((call_id, index), [])
        for run in runs:
            where = f"seed {self.seed}, {self.now:.3f} s: {call_id}:{index} ran as {run.attempt} in {run.container}"
            assert run.attempt != attempt, f"{where} and again in {container}"
            assert run.lost or run.failed or self.was_away(run.worker, run.began), (
                f"{where}, now as {attempt} in {container}"
            )
        run = Run1(container, worker, attempt, self.now)
        runs.append(run)
        return run

    def check_cap(self, function_id: str) -> None:
        """No more containers of a function than it may have, wherever they are."""
        if self.forgetful or function_id in self.server.capped | self.server.dropped:
            return
        most = self.server.spec(function_id).scaling.max_containers
        if not most:
            return
        there = sum(worker.count(function_id) for worker in self.peers.values() if worker.alive)
        assert there <= most, f"seed {self.seed}, {self.now:.3f} s: {there} containers of {function_id}"

    def was_away(self, worker: str, since: float) -> bool:
        """Whether a worker was out of reach longer than the server has to wait for it."""
        patience = WORKER_LOST_AFTER_S if self.server.epoch == 1 else INVENTORY_WAIT_S
        return any(
            min(end, self.now) - begin >= patience * 0.99 and end >= since
            for begin, end in self.away.get(worker, [])
        )


class Link:
    """A connection between a peer and the server: in order, late, and lossy only by breaking."""

    def __init__(self, world: World, peer: Peer) -> None:
        self.world = world
        self.peer = peer
        self.up = False
        self.known = False  # the server believes that it is up
        self.generation = 0
        self.lag = world.random.choice([0.0001, 0.001, 0.02])
        self._arrivals = [0.0, 0.0]

    def connect(self) -> None:
        """The peer connects, if the server lives."""
        world = self.world
        if self.up or not self.peer.alive:
            return
        if not world.server.alive:
            world.after(0.05 + world.random.random() * 0.2, self.connect)
            return
        self.up = True
        self.known = True
        self.generation += 1
        self._arrivals = [world.now, world.now]
        for period in world.away.get(self.peer.id, [])[-1:]:
            period[1] = min(period[1], world.now)
        self.peer.connected()

    def cut(self, down_s: float) -> None:
        """The connection breaks; what is under way is lost. Each side notices in its own time."""
        if not self.up:
            return
        world = self.world
        self.up = False
        self.generation += 1
        generation = self.generation
        world.away.setdefault(self.peer.id, []).append([world.now, float("inf")])

        def notice() -> None:
            if self.generation == generation and self.known and world.server.alive:
                self.known = False
                world.server.lost(self.peer)

        world.after(world.random.random() * min(down_s, 2.0), notice)
        world.after(down_s, self.connect)

    def send(self, way: int, deliver: Event) -> None:
        """A message, to the server (0) or to the peer (1)."""
        if not self.up:
            return
        world, generation = self.world, self.generation
        self._arrivals[way] = max(self._arrivals[way], world.now + self.lag * (0.5 + world.random.random()))

        def arrive() -> None:
            if self.generation == generation:
                deliver()

        world.after(self._arrivals[way] - world.now, arrive)


class Server:
    """The shell round the dispatcher: passes actions on, and can be killed."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.epoch = 0
        self.functions: dict[str, FunctionSpec] = {}
        self.dropped: set[str] = set()
        self.capped: set[str] = set()  # functions whose maximum was lowered while they ran
        self.alive = False
        self.live_workers: set[str] = set()  # what the store says
        self._tick_at = float("inf")
        self.start()

    def start(self) -> None:
        """A new epoch."""
        self.epoch += 1
        self.alive = True
        self._ids = 0
        self._tick_at = float("inf")
        self.dispatcher = Dispatcher(
            epoch=self.epoch,
            known_workers=set(self.live_workers),
            worker_lost_after_s=WORKER_LOST_AFTER_S,
            inventory_wait_s=INVENTORY_WAIT_S,
            make_id=self._make_id,
        )
        for spec in self.functions.values():
            self.dispatcher.add_function(self.world.now, spec, "ap-1", "main")
        self.drain()

    def _make_id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self.epoch}-{self._ids}"

    def add(self, spec: FunctionSpec) -> None:
        """Publishes a function, or a version of it."""
        self.functions[spec.function_id] = spec
        if self.alive:
            self.dispatcher.add_function(self.world.now, spec, "ap-1", "main")
            self.drain()

    def spec(self, function_id: str) -> FunctionSpec:
        """The newest version of a function."""
        return self.functions[function_id]

    def say(self, event: Callable[[Dispatcher, float], object]) -> None:
        """A person says something, if the server lives."""
        if self.alive:
            event(self.dispatcher, self.world.now)
            self.drain()

    def kill(self, down_s: float) -> None:
        """The server dies and is started again."""
        if not self.alive:
            return
        self.alive = False
        for link in self.world.links.values():
            link.cut(down_s + self.world.random.random() * 3)
            link.known = False
        self.world.after(down_s, self.start)

    def lost(self, peer: Peer) -> None:
        """A connection's loss is noticed."""
        if peer.id.startswith("wo-"):
            dead = not peer.alive and self.world.random.random() < 0.7
            if dead:
                self.live_workers.discard(peer.id)
            self.dispatcher.worker_gone(self.world.now, peer.id, dead=dead)
        else:
            self.dispatcher.caller_gone(self.world.now, peer.id)
        self.drain()

    def hear(self, peer: Peer, event: Callable[[Dispatcher, float], object]) -> None:
        """A peer sends an event."""

        def deliver() -> None:
            if self.alive:
                event(self.dispatcher, self.world.now)
                self.drain()

        self.world.links[peer.id].send(0, deliver)

    def drain(self) -> None:
        """Passes on what the dispatcher decided, and sets the clock."""
        for action in self.dispatcher.take():
            self._send(action)
        due = self.dispatcher.next_tick()
        if due is not None and due < self._tick_at:
            self._tick_at = due
            self.world.at(due, self._tick)

    def _tick(self) -> None:
        if self.alive and self.world.now >= self._tick_at:
            self._tick_at = float("inf")
            self.dispatcher.tick(self.world.now)
            self.drain()

    def _send(self, action: Action) -> None:
        match action:
            case Start():
                self.world.specs[action.container_id] = self.spec(action.function_id)
                peer = self.world.peers[action.worker_id]
            case Deliver():
                peer = self.world.peers[action.caller]
            case Failed():
                return
            case Run() | Stop() | Take() | Cancel() | ConfirmResults():
                peer = self.world.peers[action.worker_id]
        self.world.links[peer.id].send(1, lambda: peer.receive(action) if peer.alive else None)
