"""A world for the dispatcher, from a seed: a clock, who is there, and what everyone's deeds are checked against.

Nothing here is random but by the world's own generator, so a seed replays exactly. Who is in it: `links.py`,
`server.py`, `store.py`, `workers.py`, `containers.py`, `clients.py`. What happens to them: `stories.py`.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from heapq import heappop, heappush
from math import inf
from typing import Protocol

from ionian.core.actions import Action
from ionian.protocol.spec import FunctionSpec

from .links import Link
from .server import INVENTORY_WAIT_S, PATIENCE_S, Server

Event = Callable[[], None]

NEARLY = 0.99
"""Of a time that must have passed: what is late on its way counts from when it was sent."""

STUCK_S = 30.0
"""No function waits so long while there is room for it and nothing is done for it; no input runs so long."""

LATE_S = 3.0
"""A message that is late comes so much later."""

LOOK_EVERY_S = 5.0

ASKED_EVERY = 64
"""Events, one is followed by a look whether all is done; and so is each second."""


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

    def waiting_since(self) -> float:
        """Since when an input waits in one of its containers behind one that runs; infinity where none does."""
        ...


class Claimed(Protocol):
    """An input that a container has claimed."""

    call_id: str
    index: int
    attempt: int
    given: float  # when it came to the container


@dataclass(slots=True)
class Run1:
    """One run of one input: where, when, and whether something happened that excuses a second one."""

    container: str
    worker: str
    attempt: int
    began: float
    ended: bool = False
    lost: bool = False
    failed: bool = False  # it raised
    died: bool = False  # its container did, and nothing else that ran there can be why


@dataclass
class World:
    """The clock and the checks."""

    seed: int
    check_every: int = 25
    now: float = 0.0
    events: int = 0
    runs: dict[tuple[str, int], list[Run1]] = field(default_factory=dict[tuple[str, int], list[Run1]])
    away: dict[str, list[list[float]]] = field(default_factory=dict[str, list[list[float]]])
    """Per peer: when it was out of the server's reach, from and until."""
    leaps: list[tuple[float, float]] = field(default_factory=list[tuple[float, float]])
    """When the server's clock went ahead or its process stood still, and by how much."""
    specs: dict[str, FunctionSpec] = field(default_factory=dict[str, FunctionSpec])
    """Per container: the version of its function that it was started with."""
    owners: dict[str, str] = field(default_factory=dict[str, str])  # of calls
    counts: dict[str, int] = field(default_factory=dict[str, int])  # how many inputs calls have
    idle_deaths: dict[str, int] = field(default_factory=dict[str, int])
    """Per function: containers that died of no input."""

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)
        self._heap: list[tuple[float, int, Event]] = []
        self._count = 0
        self.peers: dict[str, Peer] = {}
        self.links: dict[str, Link] = {}
        self._out: set[str] = set()  # peers that are out of reach now
        self._gave_up = False
        self._meetings: dict[tuple[str, int], list[Event]] = {}  # of inputs that wait for each other
        self.server = Server(self)
        self.after(LOOK_EVERY_S, self._look)

    @property
    def where(self) -> str:
        """For the message of a check."""
        return f"seed {self.seed}, {self.now:.3f} s"

    def after(self, seconds: float, event: Event) -> None:
        """Does something later."""
        self.at(self.now + seconds, event)

    def at(self, when: float, event: Event) -> None:
        """Does something at a time, behind what else is to be done then."""
        self._count += 1
        heappush(self._heap, (when, self._count, event))

    def run(self, done: Callable[[], bool], limit_s: float) -> None:
        """Lets time pass until `done`, which must be before `limit_s`."""
        asked = -inf
        while True:
            if self.events % ASKED_EVERY == 0 or self.now >= asked + 1.0:
                asked = self.now
                if done():
                    return
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

    # Who was out of reach

    def left(self, peer_id: str) -> None:
        """A peer is out of reach from now on, if it is not yet."""
        if peer_id not in self._out:
            self.away.setdefault(peer_id, []).append([self.now, inf])
            self._out.add(peer_id)

    def back(self, peer_id: str, generation: int) -> None:
        """The server has the first message of a connection."""
        self.links[peer_id].heard = generation
        if peer_id in self._out and self.links[peer_id].up:
            self._gave_up = self._gave_up or self._lost(peer_id, self.away[peer_id][-1])
            self._out.discard(peer_id)
            self.away[peer_id][-1][1] = self.now

    def gave_up(self) -> bool:
        """Whether the server was right to think at some time that a worker was gone, which was not."""
        if not self._gave_up:
            self._gave_up = any(self._lost(peer_id, self.away[peer_id][-1]) for peer_id in self._out)
        return self._gave_up

    def _lost(self, peer_id: str, period: list[float]) -> bool:
        return peer_id.startswith("wo-") and self.peers[peer_id].alive and self._too_long(period)

    def _too_long(self, period: list[float]) -> bool:
        """Whether a peer was out of reach longer than the server has to wait for it."""
        begin, end = period[0], min(period[1], self.now)
        return self._server_s(begin, end) >= PATIENCE_S * NEARLY or any(
            begin <= start and self._server_s(start, end) >= INVENTORY_WAIT_S * NEARLY
            for start in self.server.starts[1:]
        )

    def _server_s(self, begin: float, end: float) -> float:
        """How long a time was by the server's clock."""
        return end - begin + sum(leap for when, leap in self.leaps if begin <= when <= end)

    def excused(self, call_id: str, worker: str, since: float) -> bool:
        """Whether an input may run again that began to run at this time on that worker."""
        # What the server gave away just before a caller came back and made its call anew begins to run after that.
        peers = ((worker, since), (self.owners.get(call_id, ""), since - LATE_S))
        periods = (period for peer, then in peers for period in self.away.get(peer, ()) if period[1] >= then)
        leapt = sum(leap for when, leap in self.leaps if when >= since)
        return leapt >= INVENTORY_WAIT_S * NEARLY or any(map(self._too_long, periods))

    # Inputs that wait for each other

    def meet(self, call_id: str, index: int, count: int, patience_s: float, go_on: Event) -> None:
        """An input has begun that waits for others of its call, `count` of them with itself."""
        first = index - index % count
        waiting = self._meetings.setdefault((call_id, first), [])
        waiting.append(go_on)
        self.after(patience_s, go_on)
        last = min(first + count, self.counts[call_id])
        if all((call_id, other) in self.runs for other in range(first, last)):
            for event in waiting:
                self.after(0.001, event)
            waiting.clear()

    # What must hold

    def begin_run(self, claim: Claimed, container: str, worker: str) -> Run1:
        """An input begins to run: not twice in one attempt, and again only with an excuse."""
        call_id, index, attempt = claim.call_id, claim.index, claim.attempt
        runs = self.runs.get((call_id, index))
        if runs is None:
            runs = self.runs[call_id, index] = []
        for run in runs:
            where = f"{self.where}: {call_id}:{index} ran as {run.attempt} in {run.container}"
            # It may have waited here since before the server ran it elsewhere.
            since = min(run.began, claim.given)
            excused = any(self.excused(call_id, place, since) for place in (run.worker, worker))
            # A caller that was given up and comes back makes its calls anew, in the same epoch.
            assert run.attempt != attempt or excused, f"{where} and again in {container}"
            assert run.lost or run.failed or excused, f"{where}, now as {attempt} in {container}"
        self.server.store.begins(call_id, index, worker, runs)
        run = Run1(container, worker, attempt, self.now)
        runs.append(run)
        return run

    def check_cap(self, function_id: str) -> None:
        """No more containers of a function than it may have, wherever they are."""
        if function_id in self.server.capped | self.server.dropped:
            return
        most = self.server.spec(function_id).scaling.max_containers
        if not most:
            return
        there = sum(worker.count(function_id) for worker in self.peers.values() if worker.alive)
        assert there <= most or self.gave_up(), f"{self.where}: {there} containers of {function_id}"

    def _look(self) -> None:
        """Nothing waits for long while there is room for it and nothing happens."""
        self.after(LOOK_EVERY_S, self._look)
        server = self.server
        if not server.alive or server.stalled:
            return
        core, line = server.dispatcher.core, server.dispatcher.fleet.line
        now = server.clock()
        for function in core.functions.values():
            id = function.spec.function_id
            most = function.spec.scaling.max_containers
            busy = most and (len(function.containers) >= most or not core.settled)
            others = any(other is not function for other in line.line)
            if not function.queued or busy or now < function.retry_at or others:
                server.active[id] = self.now
            elif self.now - server.active.get(id, self.now) > STUCK_S:
                resources = function.spec.resources
                room = [w.id for w in core.workers.values() if w.present and w.node.find(resources)]
                assert not room, f"{self.where}: {id} waits although there is room on {room[0]}"
        self._look_at_containers()

    def _look_at_containers(self) -> None:
        """Nothing waits for long in a container behind what runs there, while others could run it."""
        troubles = [when for when, _ in self.leaps] + [self.server.starts[-1]]
        for id, link in self.links.items():
            calm = max(*troubles, link.since)
            since = max(self.peers[id].waiting_since(), calm) if link.up and self.peers[id].alive else inf
            assert self.now - since < STUCK_S, f"{self.where}: an input waits on {id} behind another"
