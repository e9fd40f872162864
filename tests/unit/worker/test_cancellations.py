"""Inputs that are to end: how often the container is told, and when its patience is over."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Callable

from ionian.protocol.batch import Batch
from ionian.protocol.ids import new_id
from ionian.protocol.slots import LEFT_ALONE, Slots, cell_size
from ionian.protocol.wire import RESULTS, RUN
from ionian.worker.cancellations import Cancellations
from ionian.worker.feed import Feed


class World:
    """A feed whose container is this test: it claims, and says in its slots what it runs."""

    def __init__(self) -> None:
        self.call = new_id("fc")
        self.signals = 0
        self.feed = Feed(lambda batch: None, 3)
        self.slots = Slots(mmap.mmap(self.feed.cell_fd, cell_size(3)))
        self.cancellations = Cancellations(self._signal)
        batch = Batch(self.call, [0, 1, 2], [0, 0, 0], b"", attempt=[1, 1, 1])
        self.feed.give(batch, batch.pack(RUN))

    def _signal(self) -> None:
        self.signals += 1

    def claim(self) -> None:
        self.feed.theirs.recv(1 << 16)

    def end(self, slot: int, index: int) -> None:
        batch = Batch(self.call, [index], [0], b"", attempt=[1])
        self.feed.theirs.send(batch.pack(RESULTS))
        self.feed.read()
        self.slots.end(slot)

    def check(self, now: float = 0.0) -> tuple[str, int] | None:
        return self.cancellations.check(self.feed, now)


def play(scene: Callable[[World], None]) -> None:
    async def run() -> None:
        world = World()
        scene(world)
        world.feed.close()

    asyncio.run(run())


def test_one_signal_asks_for_all_until_all_have_answered() -> None:
    def scene(world: World) -> None:
        for index in range(3):
            world.claim()
            world.slots.begin(index, world.call, index, 100 + index)
        world.cancellations.add(world.call, [0, 2], 30.0)
        assert world.check() is None
        assert world.signals == 1
        assert [world.slots.asked(slot) for slot in range(3)] == [100, 0, 102]
        world.slots.answer(0, 100)
        world.check()
        assert world.signals == 2
        world.slots.answer(2, 102)
        world.check()
        assert world.signals == 2

    play(scene)


def test_an_input_that_was_claimed_and_did_not_run_yet_is_asked_for_when_it_does() -> None:
    def scene(world: World) -> None:
        world.claim()
        world.cancellations.add(world.call, [0], 30.0)
        world.check()
        assert world.signals == 0
        world.slots.begin(0, world.call, 0, 100)
        world.check()
        assert world.signals == 1

    play(scene)


def test_what_does_not_end_within_its_grace_is_named_and_what_has_ended_is_forgotten() -> None:
    def scene(world: World) -> None:
        for index in range(2):
            world.claim()
            world.slots.begin(index, world.call, index, 100 + index)
        world.cancellations.add(world.call, [0, 1], 30.0)
        assert world.check(29.0) is None
        world.end(0, 0)
        assert world.check(31.0) == (world.call, 1)
        world.end(1, 1)
        assert world.check(32.0) is None

    play(scene)


def test_what_the_container_leaves_alone_is_not_waited_for() -> None:
    def scene(world: World) -> None:
        world.claim()
        world.slots.begin(0, world.call, 0, 100)
        world.cancellations.add(world.call, [0], 30.0)
        world.check()
        world.slots.answer(0, LEFT_ALONE)
        assert world.check(31.0) is None
        assert world.signals == 1

    play(scene)
