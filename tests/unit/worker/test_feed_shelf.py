"""Results that a container holds back while it runs a slow input reach its caller, and only once."""

from __future__ import annotations

import asyncio
import mmap
from collections.abc import Awaitable, Callable

from ionian.container.lifecycle import Callables
from ionian.container.results import Results
from ionian.container.run import Runner
from ionian.container.wire import Packets
from ionian.protocol.batch import Batch
from ionian.protocol.container import CELL_SIZE
from ionian.protocol.ids import new_id
from ionian.protocol.shelf import Shelf, on_shelf
from ionian.protocol.wire import RUN
from ionian.serialization import dumps, loads
from ionian.worker.feed import Feed


class World:
    """A feed, and the runner at its other end in a thread of this process."""

    def __init__(self) -> None:
        self.results: dict[int, object] = {}
        self.batches = 0
        self.feed = Feed(self._took)
        self._changed = asyncio.Event()

    def _took(self, batch: Batch) -> None:
        self.batches += 1
        for index, payload in zip(batch.index, batch.payloads(), strict=True):
            assert index not in self.results, "a result came twice"
            self.results[index] = loads(payload)
        self._changed.set()

    async def until(self, count: int) -> None:
        """Waits until so many results are here."""
        while len(self.results) < count:
            self._changed.clear()
            await self._changed.wait()

    def give(self, numbers: list[int]) -> None:
        """One packet of inputs."""
        payloads = [dumps(((number,), {})) for number in numbers]
        batch = Batch(
            new_id("fc"),
            numbers,
            [len(payload) for payload in payloads],
            b"".join(payloads),
            attempt=[1] * len(numbers),
        )
        self.feed.give(batch, batch.pack(RUN))

    def serve(self, function: Callable[[int], int]) -> Awaitable[None]:
        """Runs what is given, as a container does."""
        cell = mmap.mmap(self.feed.cell_fd, CELL_SIZE)
        packets = Packets(self.feed.theirs)
        callables = Callables(function, is_generator=False)
        runner = Runner(packets, cell, Results(packets, "ta-1", "/ionian/"), callables)
        return asyncio.to_thread(runner.serve)


def test_results_before_a_slow_input_are_rescued_and_come_once() -> None:
    async def story() -> None:
        from threading import Event

        world, slow, go_on = World(), Event(), Event()

        def work(number: int) -> int:
            if number == 3:
                slow.set()
                assert go_on.wait(20)
            return 10 * number

        serving = asyncio.ensure_future(world.serve(work))
        world.give([0, 1, 2, 3, 4])
        await asyncio.to_thread(slow.wait, 20)
        world.feed.rescue()
        world.feed.rescue()
        assert world.results == {0: 0, 1: 10, 2: 20}
        assert [row for held in world.feed.held() for row in held.index] == [3, 4]
        go_on.set()
        await world.until(5)
        assert world.results == {number: 10 * number for number in range(5)}
        assert not world.feed.held()
        world.feed.end()
        await serving
        world.feed.close()

    asyncio.run(story())


def test_the_shelf_is_empty_when_all_was_sent() -> None:
    async def story() -> None:
        world = World()
        serving = asyncio.ensure_future(world.serve(lambda number: number))
        world.give(list(range(100)))
        await world.until(100)
        world.feed.rescue()
        assert len(world.results) == 100
        world.feed.end()
        await serving
        assert on_shelf(mmap.mmap(world.feed.cell_fd, CELL_SIZE)) == []
        world.feed.close()

    asyncio.run(story())


def test_what_does_not_fit_is_not_on_the_shelf() -> None:
    cell = mmap.mmap(-1, CELL_SIZE)
    shelf = Shelf(cell)
    shelf.put((0, 1, 0, 5, b"small"))
    shelf.put((1, 1, 0, 5, bytes(CELL_SIZE)))
    shelf.put((2, 1, 0, 5, b"small too"))
    assert on_shelf(cell) == [(0, 1, 0, 5, b"small"), (2, 1, 0, 5, b"small too")]
    shelf.clear()
    assert on_shelf(cell) == []


def test_garbage_on_the_shelf_is_no_result_and_no_error() -> None:
    cell = mmap.mmap(-1, CELL_SIZE)
    cell[:] = b"\xff" * CELL_SIZE
    assert on_shelf(cell) == []
