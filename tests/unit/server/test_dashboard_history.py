"""What a function did over a time: what is over is read from the store once, and is what all of it read anew would be."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from sqlalchemy import event
from tests.unit.server.test_counts import on_stage

from ionian.machine.state import StateFolder
from ionian.server.dashboard.history import SPANS, Histories
from ionian.server.standing import Standing
from ionian.server.store.counts import Counted

DAY = 24 * 60


@pytest.mark.parametrize(("word", "least"), [("hour", 53), ("day", 90), ("week", 82)])
def test_what_is_over_is_read_once(state: StateFolder, word: str, least: int) -> None:
    async def story(stage: Any) -> None:
        span, now = SPANS[word], 30_000_000
        store, counts = stage.world.server.store, stage.engine.counts
        rows = [
            Counted("fu-1", at, 1, "fu-1", "ap-1", "main", at % 7, at % 3)
            for at in range(now - 8 * DAY, now, 13)
        ]
        store.counts.put(rows)
        bounds: list[int] = []

        def executed(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
            if statement.startswith("SELECT") and "FROM function_minutes" in statement:
                bounds.append(values[0])

        event.listen(store.database.engine, "before_cursor_execute", executed)
        clock = [0.0]
        histories = Histories(counts, lambda: clock[0])
        for later in (0, 1, 17, 200):
            clock[0] = (now + later) * 60.0
            store.counts.put([Counted("fu-1", now + later, 1, "fu-1", "ap-1", "main", 1000)])
            found = await histories.of("fu-1", span, Standing())
            fresh = await Histories(counts, lambda: clock[0]).of("fu-1", span, Standing())
            assert (found.first, found.steps) == (fresh.first, fresh.steps)
        read, read_by_fresh = bounds[2::2], bounds[3::2]
        assert bounds[0] == bounds[1]
        assert read[0] >= read_by_fresh[0] + least * span.minutes
        assert all(mine > whole for mine, whole in zip(read[:2], read_by_fresh, strict=False))

    on_stage(state, story)


class Gated:
    """Counts of a function that did nothing, told when the gate is open."""

    def __init__(self) -> None:
        self.gate = asyncio.Event()
        self.asked: asyncio.Queue[tuple[int, int]] = asyncio.Queue()

    async def minutes(self, since: int, until: int, root_id: str) -> list[Counted]:
        gate = self.gate
        self.asked.put_nowait((since, until))
        await gate.wait()
        return []


def test_a_page_is_whole_though_a_minute_begins_and_another_is_asked_for_while_it_is_read() -> None:
    async def story() -> None:
        counts, clock, span = Gated(), [6_000_000.0], SPANS["hour"]
        told: Any = counts
        histories = Histories(told, lambda: clock[0])
        counts.gate.set()
        await histories.of("fu-1", span, Standing())
        await counts.asked.get()
        counts.gate = asyncio.Event()
        slow = asyncio.ensure_future(histories.of("fu-1", span, Standing()))
        since, until = await counts.asked.get()
        assert until - since < span.steps  # the others are known
        slow_gate, counts.gate = counts.gate, asyncio.Event()
        counts.gate.set()
        clock[0] += 60
        later = await histories.of("fu-1", span, Standing())
        slow_gate.set()
        assert (await slow).first == later.first - 1
        assert len((await slow).steps) == len(later.steps) == span.steps

    asyncio.run(story())
