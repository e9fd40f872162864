"""Requests of coroutines: many go to the link's thread, and their answers back, by one wake of the other thread.

A program that spawns from coroutines has thousands of them under way; a wake costs about 35 µs each way.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Any

Answer = tuple[Any, bytes]
Asked = tuple[Any, bytes, asyncio.AbstractEventLoop, "asyncio.Future[Answer]"]


class Asking:
    """`request` begins one on the link's thread; `wake` has that thread call `begin`."""

    def __init__(
        self, request: Callable[[Any, bytes], asyncio.Future[Answer]], wake: Callable[[], None]
    ) -> None:
        self._request = request
        self._wake = wake
        self._asked: deque[Asked] = deque()
        self._answered: dict[asyncio.AbstractEventLoop, list[tuple[Asked, asyncio.Future[Answer]]]] = {}
        self._lock = threading.Lock()  # of `_answered`

    async def ask(self, message: Any, payload: bytes) -> Answer:
        """Sends a request from any loop and waits for its answer."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Answer] = loop.create_future()
        self._asked.append((message, payload, loop, answer))
        self._wake()
        return await answer

    # --- on the link's thread

    def begin(self) -> None:
        """Sends what was asked."""
        asked = self._asked
        while asked:
            one = asked.popleft()
            future = self._request(one[0], one[1])
            future.add_done_callback(partial(self._ended, one))

    def _ended(self, one: Asked, future: asyncio.Future[Answer]) -> None:
        loop = one[2]
        with self._lock:
            answered = self._answered.setdefault(loop, [])
            answered.append((one, future))
            first = len(answered) == 1
        if first:
            try:
                loop.call_soon_threadsafe(self._settle, loop)
            except RuntimeError:  # it is closed: nobody waits any more
                with self._lock:
                    self._answered.pop(loop, None)

    # --- on the loop that asked

    def _settle(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            answered = self._answered.pop(loop, [])
        for (_, _, _, answer), future in answered:
            if answer.done():
                continue  # its coroutine was cancelled
            if future.cancelled():
                answer.cancel()
            elif (error := future.exception()) is not None:
                answer.set_exception(error)
            else:
                answer.set_result(future.result())
