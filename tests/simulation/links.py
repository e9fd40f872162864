"""Connections between peers and the server: in order, late, and lossy only by breaking."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .world import Peer, World

TO_SERVER, TO_PEER = 0, 1


class Link:
    """One connection after the other."""

    def __init__(self, world: World, peer: Peer) -> None:
        self.world = world
        self.peer = peer
        self.up = False
        self.since = 0.0  # when it came up
        self.known = False  # the server believes that it is up
        self.generation = 0
        self.heard = 0  # the generation that the server talks to: the last whose first message it has read
        self.lag = world.random.choice([0.0001, 0.001, 0.02])
        self._arrivals = [0.0, 0.0]
        self._deaf = [False, False]  # that way nothing arrives any more
        self._lingers = False  # what was on its way to the server arrives although the connection broke

    def connect(self) -> None:
        """The peer connects, if the server lives."""
        world = self.world
        if self.up or not self.peer.alive:
            return
        if not world.server.alive:
            world.after(0.05 + world.random.random() * 0.2, self.connect)
            return
        self.up = True
        self.since = world.now
        self.known = True
        self.generation += 1
        self._arrivals = [world.now, world.now]
        self._deaf = [False, False]
        self.peer.connected()

    def cut(self, down_s: float, *, lingers: bool = False) -> None:
        """The connection breaks; what is under way is lost. Each side notices in its own time."""
        if not self.up:
            return
        world = self.world
        self.up = False
        self.generation += 1
        self._lingers = lingers
        generation = self.generation
        world.left(self.peer.id)

        def notice() -> None:
            if self.generation != generation or not self.known or not world.server.alive:
                return
            if world.server.stalled:
                world.server.afterwards(notice)
                return
            self.known = False
            world.server.lost(self.peer)

        world.after(world.random.random() * min(down_s, 2.0), notice)
        world.after(down_s, self.connect)

    def go_deaf(self, way: int, down_s: float) -> None:
        """Nothing passes one way; after a while both sides give the connection up."""
        if self.up:
            self._deaf[way] = True
            generation = self.generation
            patience = self.world.random.random() * 3
            self.world.after(patience, lambda: self.cut(down_s) if self.generation == generation else None)

    def delay(self, way: int, seconds: float) -> None:
        """What is said from now on that way, arrives so much later, and all that follows behind it."""
        self._arrivals[way] = max(self._arrivals[way], self.world.now + seconds)

    def send(self, way: int, deliver: Callable[[], None]) -> None:
        """A message, to the server or to the peer."""
        if not self.up or self._deaf[way] or (way == TO_PEER and self.heard != self.generation):
            return
        world, generation, epoch = self.world, self.generation, self.world.server.epoch
        when = max(self._arrivals[way], world.now + self.lag * (0.5 + world.random.random()))
        self._arrivals[way] = when

        def arrive() -> None:
            # What was sent before the break may arrive, but not behind the first message of the next connection.
            lingers = self._lingers and way == TO_SERVER and epoch == world.server.epoch
            if self.generation == generation or (lingers and self.heard <= generation):
                deliver()

        world.at(when, arrive)  # not `after`: a sum that is rounded would turn the order round
