"""Templates are made one after the other, but for one that hangs."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from ionian.worker.templates.turns import Turns


def told(story: Callable[[], Awaitable[None]]) -> None:
    async def main() -> None:
        await story()

    asyncio.run(asyncio.wait_for(main(), 20))


def test_one_waits_for_the_end_of_the_other():
    async def story() -> None:
        turns, begun = Turns(patience_s=60), asyncio.Event()

        async def second() -> None:
            async with turns.one():
                begun.set()

        async with turns.one():
            waiting = asyncio.ensure_future(second())
            await asyncio.sleep(0)
            assert not begun.is_set()
        await waiting

    told(story)


def test_none_waits_for_ever_for_one_that_hangs():
    async def story() -> None:
        turns = Turns(patience_s=0.01)
        async with turns.one(), turns.one():
            pass

    told(story)


def test_the_end_of_one_that_took_long_frees_no_second_turn():
    async def story() -> None:
        turns = Turns(patience_s=0.01)
        async with turns.one(), turns.one():
            turns._patience_s = 60  # pyright: ignore[reportPrivateUsage]
        # Both are over, and there is one turn again.
        begun = asyncio.Event()

        async def other() -> None:
            async with turns.one():
                begun.set()

        async with turns.one():
            waiting = asyncio.ensure_future(other())
            await asyncio.sleep(0)
            assert not begun.is_set()
        await waiting

    told(story)
