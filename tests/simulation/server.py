"""The server of the simulated world: a shell round the dispatcher, with a clock of its own, that can be killed."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ionian.core.actions import Action, Cancel, ConfirmResults, Deliver, Failed, Run, Start, Stop, Take, Tried
from ionian.core.dispatcher import Dispatcher
from ionian.protocol.spec import FunctionSpec

from .store import STORE, Store

if TYPE_CHECKING:
    from .world import Peer, World

PATIENCE_S = 60.0
INVENTORY_WAIT_S = 10.0


class Server:
    """Feeds the dispatcher and passes its actions on."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.epoch = 0
        self.starts: list[float] = []
        self.functions: dict[str, FunctionSpec] = {}
        self.dropped: set[str] = set()
        self.capped: set[str] = set()  # functions whose maximum was lowered while they ran
        self.alive = False
        self.live_workers: set[str] = set()  # what the store says
        self.store = Store(world, self)
        self.start()

    def start(self) -> None:
        """A new epoch."""
        world = self.world
        self.epoch += 1
        self.starts.append(world.now)
        self.alive = True
        self.stalled = False
        self._waiting: list[Callable[[], None]] = []  # for the end of a stall
        self._ids = 0
        self._tick_at = float("inf")
        # The monotonic clock of a process begins anywhere.
        self._offset = 0.0 if self.epoch == 1 else world.random.choice([0.0, 1e6, -world.now])
        self.active: dict[str, float] = {}  # when something was last done for each function
        self.dispatcher = Dispatcher(
            epoch=self.epoch,
            known_workers=set(self.live_workers),
            worker_lost_after_s=PATIENCE_S,
            inventory_wait_s=INVENTORY_WAIT_S,
            make_id=self._make_id,
        )
        for spec in self.functions.values():
            self.dispatcher.add_function(self.clock(), spec, "ap-1", "main")
        self.store.start()
        self.drain()

    def clock(self) -> float:
        """What its clock says."""
        return self.world.now + self._offset

    def _make_id(self, prefix: str) -> str:
        self._ids += 1
        return f"{prefix}-{self.epoch}-{self._ids}"

    # What happens to it

    def kill(self, down_s: float) -> None:
        """The server dies and is started again."""
        if not self.alive:
            return
        self.alive = False
        for link in self.world.links.values():
            link.cut(down_s + self.world.random.random() * 3)
            link.known = False
        self.world.after(down_s, self.start)

    def leap(self, seconds: float) -> None:
        """Its clock goes ahead: the machine slept."""
        if self.alive:
            self._offset += seconds
            self.world.leaps.append((self.world.now, seconds))
            self._set_timer()

    def stall(self, seconds: float) -> None:
        """The process stands still: what is said to it waits."""
        if self.alive and not self.stalled:
            self.stalled = True
            self.world.leaps.append((self.world.now, seconds))
            self.world.after(seconds, lambda epoch=self.epoch: self._go_on(epoch))

    def afterwards(self, event: Callable[[], None]) -> None:
        """Does something once it goes on."""
        self._waiting.append(event)

    def _go_on(self, epoch: int) -> None:
        if self.epoch == epoch and self.alive:
            self.stalled = False
            waiting, self._waiting = self._waiting, []
            timer_first = self.world.random.random() < 0.5
            for event in [self._tick, *waiting] if timer_first else [*waiting, self._tick]:
                event()

    # What it hears

    def add(self, spec: FunctionSpec) -> None:
        """Publishes a function, or a version of it."""
        self.functions[spec.function_id] = spec
        self.say(lambda d, now: d.add_function(now, spec, "ap-1", "main"))

    def remove(self, function_id: str) -> None:
        """A deploy has a function no more."""
        if self.alive and not self.stalled:
            self.dropped.add(function_id)
            self.functions.pop(function_id, None)
            self.store.function_removed(function_id)
            self.say(lambda d, now: d.remove_function(now, function_id))

    def spec(self, function_id: str) -> FunctionSpec:
        """The newest version of a function."""
        return self.functions[function_id]

    def say(self, event: Callable[[Dispatcher, float], object]) -> None:
        """Something is said to it; if it is dead, to nobody."""
        if self.stalled:
            self.afterwards(lambda: self.say(event))
        elif self.alive:
            event(self.dispatcher, self.clock())
            self.drain()

    def hear(self, peer: Peer, event: Callable[[Dispatcher, float], object]) -> None:
        """A peer sends an event."""
        self.world.links[peer.id].send(0, lambda: self.say(event))

    def lost(self, peer: Peer) -> None:
        """A connection's loss is noticed."""
        if peer.id.startswith("wo-"):
            dead = not peer.alive and self.world.random.random() < 0.7
            if dead:
                self.live_workers.discard(peer.id)
            self.say(lambda d, now: d.worker_gone(now, peer.id, dead=dead))
        else:
            self.say(lambda d, now: d.caller_gone(now, peer.id))

    # What it does

    def drain(self) -> None:
        """Passes on what the dispatcher decided, and sets the clock."""
        for action in self.dispatcher.take():
            self._send(action)
        self._set_timer()

    def _set_timer(self) -> None:
        due = self.dispatcher.next_tick()
        if due is not None and due - self._offset < self._tick_at:
            self._tick_at = due - self._offset
            # Not at this very moment again: the sum of two clocks is rounded.
            self.world.after(max(1e-6, self._tick_at - self.world.now), self._timer)

    def _timer(self) -> None:
        if self.world.now >= self._tick_at - 1e-6:
            self._tick()

    def _tick(self) -> None:
        if self.alive and not self.stalled:
            self._tick_at = float("inf")
            self.dispatcher.tick(self.clock())
            self.drain()

    def _send(self, action: Action) -> None:
        match action:
            case Start():
                self.world.specs[action.container_id] = self.spec(action.function_id)
                self.active[action.function_id] = self.world.now
                peer = self.world.peers[action.worker_id]
            case Deliver():
                if action.caller == STORE:
                    self.store.deliver(action.batch)
                    return
                peer = self.world.peers[action.caller]
            case Tried():
                if action.caller == STORE:
                    self.store.tried(action)
                return
            case Failed():
                return
            case Run():
                call = self.dispatcher.core.calls.get(action.batch.call_id)
                if call is not None:
                    self.active[call.function.spec.function_id] = self.world.now
                peer = self.world.peers[action.worker_id]
            case Stop() | Take() | Cancel() | ConfirmResults():
                peer = self.world.peers[action.worker_id]
        self.world.links[peer.id].send(1, lambda: peer.receive(action) if peer.alive else None)
