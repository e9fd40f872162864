"""Readings on their way to the store: written together where they come one by one."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from ionian.protocol.usage import Amounts, Line, Metered, MeteredKept, Reading
from ionian.server import metering
from ionian.server.auth import Actor
from ionian.server.store import Store


class Told:
    """A session of a worker's."""

    connected = True

    def __init__(self) -> None:
        self.actor = Actor("worker", "wo-1")
        self.kept: list[int] = []

    def send(self, message: MeteredKept) -> None:
        self.kept.append(message.seq)


def told(seq: int) -> Metered:
    used: dict[Line, Amounts] = {"calls": Amounts(1.0)}
    return Metered("one", seq, 0.0, [Reading(f"ta-{seq}", "ap-1", "main", "fu-1", "fu-1", "f", "", used, {})])


def test_what_comes_shortly_after_a_write_is_written_together_and_at_once_where_somebody_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(metering, "PAUSE_S", 1e4)
    groups: list[list[int]] = []
    session = Told()
    worker: Any = session

    async def main() -> None:
        first = asyncio.Event()

        def spent(written: list[Metered]) -> None:
            groups.append([one.seq for one in written])
            first.set()

        readings = metering.Metering(store, spent)
        readings.received(worker, told(1))
        await first.wait()
        for seq in (2, 3):
            readings.received(worker, told(seq))
        await readings.written()
        readings.received(worker, told(4))
        await readings.stop()

    asyncio.run(main())
    assert (groups, session.kept) == ([[1], [2, 3], [4]], [1, 3, 4])
    assert [one.used.wall_s for one in store.metered.sums((), 0.0, 1e11)] == [4.0]
