"""Questions to the store that are read together: what is asked while it is being read is read by the next look.

A look alone costs the loop, a thread and the database about 2 ms, one of 256 questions hardly more.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

Q = TypeVar("Q")
A = TypeVar("A")

MOST = 256
"""Questions in one look, so that the first do not wait for many others."""


class Together(Generic[Q, A]):
    """`read` answers questions, in a thread, in their order: the first one at least. The others are asked again."""

    def __init__(self, read: Callable[[Sequence[Q]], Sequence[A]]) -> None:
        self._read = read
        self._asked: deque[tuple[Q, asyncio.Future[A]]] = deque()
        self._reading = False

    async def ask(self, question: Q) -> A:
        """The answer. Raises what `read` raises."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[A] = loop.create_future()
        self._asked.append((question, future))
        if not self._reading:
            self._reading = True
            loop.call_soon(self._look)  # with all that is asked in this turn of the loop
        return await future

    def _look(self) -> None:
        asked: list[tuple[Q, asyncio.Future[A]]] = []
        while self._asked and len(asked) < MOST:
            one = self._asked.popleft()
            if not one[1].done():  # else nobody waits for it any more
                asked.append(one)
        if not asked:
            self._reading = False
            return
        read = asyncio.get_running_loop().run_in_executor(None, self._read, [one[0] for one in asked])
        read.add_done_callback(lambda read: self._answered(asked, read))

    def _answered(self, asked: list[tuple[Q, asyncio.Future[A]]], read: asyncio.Future[Sequence[A]]) -> None:
        try:
            answers = read.result()
        except BaseException as error:
            for _, future in asked:
                if not future.done():
                    future.set_exception(error)
        else:
            for (_, future), answer in zip(asked, answers, strict=False):
                if not future.done():
                    future.set_result(answer)
            self._asked.extendleft(reversed(asked[len(answers) :]))
        self._look()
