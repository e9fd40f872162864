"""Requests of coroutines: many go to the link's thread, and their answers back, by one wake of the other thread.

A program that spawns from coroutines has thousands of them under way; a wake costs about 35 µs each way, and more where
both threads are busy. So what is asked in one turn of a loop goes over at its end, and spawned calls among it go to the
server in one message.
"""

from __future__ import annotations

import asyncio
import copy
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

from . import spawns

Answer = tuple[Any, bytes]


class _Asked:
    """A request, and who waits for its answer."""

    __slots__ = ("answer", "loop", "request")

    def __init__(self, request: Answer, loop: asyncio.AbstractEventLoop) -> None:
        self.request = request
        self.loop = loop
        self.answer: asyncio.Future[Answer] = loop.create_future()


class Asking:
    """`request` begins one on the link's thread; `wake` has that thread call `begin`."""

    def __init__(
        self, request: Callable[[Any, bytes], asyncio.Future[Answer]], wake: Callable[[], None]
    ) -> None:
        self._request = request
        self._wake = wake
        self._asked: deque[_Asked] = deque()
        self._turns: set[asyncio.AbstractEventLoop] = set()  # loops in whose turn something was asked
        self._answered: dict[
            asyncio.AbstractEventLoop, list[tuple[_Asked, Answer | BaseException | None]]
        ] = {}
        self._lock = threading.Lock()  # of `_answered`

    async def ask(self, message: Any, payload: bytes) -> Answer:
        """Sends a request from any loop and waits for its answer."""
        loop = asyncio.get_running_loop()
        asked = _Asked((message, payload), loop)
        self._asked.append(asked)
        if loop not in self._turns:
            self._turns.add(loop)
            loop.call_soon(self._end_of_turn, loop)
        return await asked.answer

    def _end_of_turn(self, loop: asyncio.AbstractEventLoop) -> None:
        self._turns.discard(loop)
        self._wake()

    # --- on the link's thread

    def begin(self) -> None:
        """Sends what was asked."""
        asked = self._asked
        together: dict[spawns.Kind, list[_Asked]] = {}
        while asked:
            one = asked.popleft()
            kind = spawns.kind_of(*one.request)
            if kind is None:
                self._send(one)
                continue
            some = together.setdefault(kind, [])
            some.append(one)
            if len(some) == spawns.MOST:
                self._send_together(together.pop(kind))
        for some in together.values():
            self._send_together(some)

    def _send(self, one: _Asked) -> None:
        self._request(*one.request).add_done_callback(partial(self._ended, [one]))

    def _send_together(self, some: list[_Asked]) -> None:
        if len(some) == 1:
            self._send(some[0])
        else:
            request = self._request(*spawns.joined([one.request for one in some]))
            request.add_done_callback(partial(self._ended, some))

    def _ended(self, some: list[_Asked], future: asyncio.Future[Answer]) -> None:
        outcomes = _outcomes(some, future)
        waking: list[asyncio.AbstractEventLoop] = []
        with self._lock:
            for one, outcome in zip(some, outcomes, strict=True):
                answered = self._answered.get(one.loop)
                if answered is None:
                    answered = self._answered[one.loop] = []
                    waking.append(one.loop)
                answered.append((one, outcome))
        for loop in waking:
            try:
                loop.call_soon_threadsafe(self._settle, loop)
            except RuntimeError:  # it is closed: nobody waits any more
                with self._lock:
                    self._answered.pop(loop, None)

    # --- on the loop that asked

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            answered = self._answered.pop(loop, [])
        for asked, outcome in answered:
            if asked.answer.done():
                continue  # its coroutine was cancelled
            if outcome is None:
                asked.answer.cancel()
            elif isinstance(outcome, BaseException):
                asked.answer.set_exception(outcome)
            else:
                asked.answer.set_result(outcome)


def _outcomes(some: list[_Asked], future: asyncio.Future[Answer]) -> list[Answer | BaseException | None]:
    """What each of the requests is answered that one message asked; None where it was cancelled."""
    if future.cancelled():
        return [None] * len(some)
    error = future.exception()
    if error is not None:
        return [error, *(copy.copy(error) for _ in some[1:])]  # each is raised somewhere else
    answer = future.result()
    if len(some) == 1:
        return [answer]
    return list(spawns.answers([one.request for one in some], answer[0]))
