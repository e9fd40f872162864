"""One web request on its way: events from its container, parts of the request to it, both bounded."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, cast

import msgspec

from ...protocol.batch import BLOB, DONE, ERROR, LOST, YIELD, Batch
from ...protocol.web import WINDOW, Part, unpack_event


class Words(dict[str, Any]):
    """What an event says beside its bytes. Not to be changed: it may be that of many requests."""

    framing: Framing | None = None
    """What its answer has made of it."""


def _decode(packed: bytes) -> Words:
    found: Any = _json(packed)
    if not isinstance(found, dict):
        raise ValueError(f"expected an event, got {type(found).__name__}")
    return Words(cast("dict[str, Any]", found))


_json: Callable[[bytes], Any] = msgspec.json.Decoder().decode
_decode_again = lru_cache(1024)(_decode)

REPEATED = 1 << 10
"""Up to this (bytes) an event is kept for when it comes again: the answers of one endpoint begin alike."""


def decode(packed: bytes) -> Words:
    """What an event says. Raises ValueError or msgspec.DecodeError."""
    return _decode_again(packed) if len(packed) <= REPEATED else _decode(packed)


if TYPE_CHECKING:
    from .answer import Framing

WEB = "web"
"""The caller of all web requests, to the dispatcher."""

WAITING_BYTES = 1 << 20
"""So much of a request waits here for its container; then its client waits."""

MOST_BYTES = 8 * WINDOW
"""A container that sends so much more than its client takes does not keep to the window: its request is ended."""


@dataclass
class Ended:
    """The request's input has ended; `problem` says why there is no answer, where there is none."""

    status: int = 200
    problem: str = ""


GONE = Ended(499, "its client has gone")
"""Nobody waits for an answer any more."""


class Exchange:
    """What server and container have said to each other of one request."""

    def __init__(self, call_id: str, function_id: str) -> None:
        self.call_id = call_id
        self.function_id = function_id
        self.counted = True  # among those that wait for a container
        self._events: deque[tuple[Words, memoryview] | Ended] = deque()
        self._news: asyncio.Future[None] | None = None
        self.listener: Callable[[], None] | None = None  # is called when there are events
        self._event_bytes = 0  # of answers that wait here
        self._due = 0  # the number of the event that comes next
        self._parts: deque[tuple[Part, bytes]] = deque()
        self._part_bytes = 0
        self._room: asyncio.Future[None] | None = None
        self._number = 0  # of the part that its container asked for last
        self._asked: asyncio.Future[tuple[Part, bytes]] | None = None  # that part; it may be asked for again
        self._taken = 0
        self._far: list[tuple[int, asyncio.Future[None]]] = []
        self._over: tuple[Part, bytes] | None = None

    # --- from the container

    def received(self, batch: Batch) -> None:
        """Results of its input."""
        for code, number, payload in zip(batch.code, batch.micros, batch.payloads(), strict=True):
            if code not in (YIELD, DONE):
                self._events.append(failure(code & ~BLOB, payload))
                continue
            if code == YIELD:
                if number < self._due:
                    continue  # it comes again after a cut of the worker's stream
                self._due = number + 1
            if payload or code == YIELD:
                self._event(payload)
            if code == DONE:
                self._events.append(Ended())
        self._tell()

    def _event(self, payload: bytes) -> None:
        try:
            event = unpack_event(payload, decode)
            self._event_bytes += len(event[1])
            if self._event_bytes > MOST_BYTES:
                raise ValueError("more than its client takes")
            self._events.append(event)
        except (ValueError, msgspec.DecodeError) as error:
            self._events.append(Ended(502, f"its container sent nonsense: {error}"))

    def end(self, status: int, problem: str) -> None:
        """The server itself ends the request."""
        self.ended(Ended(status, problem))

    def ended(self, end: Ended) -> None:
        """The request is at its end."""
        self._events.append(end)
        self._tell()

    def _tell(self) -> None:
        if self.listener is not None:
            self.listener()
        news, self._news = self._news, None
        if news is not None and not news.done():
            news.set_result(None)

    async def event(self) -> tuple[Words, memoryview] | Ended:
        """The next of the answer, when it is there."""
        while (event := self.next()) is None:
            self._news = asyncio.get_running_loop().create_future()
            await self._news
        return event

    def next(self) -> tuple[Words, memoryview] | Ended | None:
        """The next of the answer, if it is there."""
        if not self._events:
            return None
        event = self._events.popleft()
        if not isinstance(event, Ended):
            self._event_bytes -= len(event[1])
        return event

    def taken(self, size: int) -> None:
        """The client has so many bytes more of the answer."""
        self._taken += size
        for sent, waiting in self._far:
            if sent - self._taken <= WINDOW // 2 and not waiting.done():
                waiting.set_result(None)
        self._far = [each for each in self._far if not each[1].done()]

    async def all_taken(self, sent: int) -> None:
        """Waits until the client has all but a window of what was sent, or is gone."""
        if sent - self._taken <= WINDOW // 2 or self._over is not None:
            return
        waiting: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._far.append((sent, waiting))
        await waiting

    # --- to the container

    async def put(self, part: Part, payload: bytes) -> None:
        """A part of the request, for its container; waits while that is far behind."""
        while self._part_bytes >= WAITING_BYTES and self._over is None:
            self._room = asyncio.get_running_loop().create_future()
            await self._room
        self._give(part, payload)

    def _give(self, part: Part, payload: bytes) -> None:
        if self._asked is not None and not self._asked.done():
            self._asked.set_result((part, payload))
            return
        self._parts.append((part, payload))
        self._part_bytes += len(payload)

    async def take(self, number: int) -> tuple[Part, bytes]:
        """The next part, when it is there. Who asks for a number again did not hear the answer, and gets the same."""
        if self._asked is None or (number != self._number and self._asked.done()):
            self._number, self._asked = number, asyncio.get_running_loop().create_future()
            if self._parts:
                self._asked.set_result(self._next_part())
            elif self._over is not None:
                self._asked.set_result(self._over)
        return await asyncio.shield(self._asked)

    def _next_part(self) -> tuple[Part, bytes]:
        part = self._parts.popleft()
        self._part_bytes -= len(part[1])
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)
        return part

    def over(self, code: int = 1005) -> None:
        """No more will come: the client has gone, or the request has ended. Who waits is told."""
        self._over = (Part("disconnect", code=code), b"")
        if self._asked is not None and not self._asked.done():
            self._asked.set_result(self._over)
        for _, waiting in self._far:
            if not waiting.done():
                waiting.set_result(None)
        self._far.clear()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)


def failure(kind: int, payload: bytes | memoryview) -> Ended:
    """Why a request has no answer, or no more of one. What a container pickled is not looked into."""
    if kind != LOST:
        return Ended(
            500, "its container failed" if kind == ERROR else "its container answered as no web function does"
        )
    try:
        told = json.loads(bytes(payload))
        name, message = str(told["type"]), str(told["message"])
    except (ValueError, KeyError, TypeError):
        return Ended(502, "it was lost")
    return Ended(504 if name == "FunctionTimeoutError" else 502, message)
