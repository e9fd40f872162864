"""Who waits for an item of a partition, or for room in it: woken by the commit that brings it, the first come first."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

from ionian.protocol.items import TAKE

from ..auth import Actor
from ..store.item_work import Request
from ..store.queue_items import Key

Answer = Callable[..., None]  # message, payload


@dataclass(slots=True)
class Asked(Request):
    """Operations that a peer asked for."""

    actor: Actor = field(kw_only=True)
    answer_with: Answer = field(kw_only=True)
    present: Callable[[], bool] = field(kw_only=True)  # whether the peer can hear an answer
    deadline: float = 0.0  # of the loop's clock; 0: it does not wait
    timer: asyncio.TimerHandle | None = None
    tried: bool = False

    @property
    def place(self) -> tuple[int, Key]:
        """What it waits for, if it does."""
        return self.ops[0].kind, (self.ops[0].object_id, self.ops[0].key)


class Waiting:
    """Requests that wait. `over` is called with one whose time has run out."""

    def __init__(self, again: Callable[[Asked], None], over: Callable[[Asked], None]) -> None:
        self._again = again
        self._over = over
        self._queues: dict[tuple[int, Key], deque[Asked]] = {}
        self._by_id: dict[str, Asked] = {}
        self._watching: dict[Key, set[asyncio.Future[None]]] = {}

    def add(self, asked: Asked) -> None:
        """From now on it waits; one that was woken in vain is the first again."""
        queue = self._queues.setdefault(asked.place, deque())
        if asked.tried:
            queue.appendleft(asked)
        else:
            queue.append(asked)
        asked.tried = True
        self._by_id[asked.request_id] = asked
        if asked.timer is None:
            loop = asyncio.get_running_loop()
            asked.timer = loop.call_at(asked.deadline, self._late, asked)

    def _late(self, asked: Asked) -> None:
        if self._remove(asked):
            self._over(asked)

    def _remove(self, asked: Asked) -> bool:
        queue = self._queues.get(asked.place)
        if queue is None or asked not in queue:
            return False
        queue.remove(asked)
        if not queue:
            del self._queues[asked.place]
        self._by_id.pop(asked.request_id, None)
        return True

    def wake(self, kind: int, key: Key, number: int) -> None:
        """So many of those who wait try again; with a TAKE, who watches the partition looks again."""
        queue = self._queues.get((kind, key))
        while queue and number:
            asked = queue.popleft()
            self._by_id.pop(asked.request_id, None)
            if asked.present():
                number -= 1
                self._again(asked)
            elif asked.timer is not None:
                asked.timer.cancel()
        if queue is not None and not queue:
            self._queues.pop((kind, key), None)
        if kind == TAKE:
            for future in self._watching.pop(key, set()):
                if not future.done():
                    future.set_result(None)

    def of_object(self, kind: int, object_id: str) -> list[Key]:
        """The partitions of a queue that somebody waits for."""
        return [key for of, key in self._queues if of == kind and key[0] == object_id]

    def stop(self, request_id: str, actor: Actor) -> None:
        """Nobody waits behind this request any more."""
        asked = self._by_id.get(request_id)
        if asked is not None and asked.actor.id == actor.id:
            asked.deadline = 0.0
            if asked.timer is not None:
                asked.timer.cancel()
            self._late(asked)

    def end(self, object_id: str) -> list[Asked]:
        """Ends the waiting for what was deleted, and returns who waited."""
        ended = [asked for asked in self._by_id.values() if asked.ops[0].object_id == object_id]
        for asked in ended:
            self._remove(asked)
            if asked.timer is not None:
                asked.timer.cancel()
        return ended

    def watch(self, key: Key) -> asyncio.Future[None]:
        """Done when something comes into a partition; who wants it no more cancels it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        watching = self._watching.setdefault(key, set())
        watching.add(future)
        future.add_done_callback(lambda done: self._watched(key, done))
        return future

    def _watched(self, key: Key, future: asyncio.Future[None]) -> None:
        watching = self._watching.get(key)
        if watching is not None:
            watching.discard(future)
            if not watching:
                del self._watching[key]
