"""What a function did over a time: what is over is read from the store once, and is what all of it read anew would be."""

from __future__ import annotations

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
