"""The operations of a group, one after the other, on what a transaction finds."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, or_, select

from ionian.protocol.items import (
    ADD,
    CLEAR,
    DIGEST_SIZE,
    EMPTY,
    GET,
    HAS,
    LENGTH,
    OF_QUEUES,
    OK,
    POP,
    PUSH,
    PUT,
    READS,
    SIZE,
    TAKE,
    TOTAL,
    Op,
    Value,
)

from .cells import Result, Room
from .dict_items import DictState
from .queue_items import Key, QueueState
from .schema import NamedObject

AHEAD = 4096
"""Items of a partition that are looked at together, at most."""


@dataclass(slots=True)
class Request:
    """Operations of one message. What is below `answer` is set by the commit."""

    request_id: str
    ops: Sequence[Op]
    confirmed: Sequence[str] = ()  # requests whose answers have arrived
    returned: Mapping[str, Sequence[int]] = field(default_factory=dict[str, Sequence[int]])
    answer: bytes = b""
    changed: bool = False  # there is an answer that is to be confirmed
    took: bool = False  # … and what was taken goes back if it is not
    pushed: dict[Key, int] = field(default_factory=dict[Key, int])  # how many items came
    freed: set[Key] = field(default_factory=set[Key])  # partitions that have more room


class Work:
    """Dicts and queues in a transaction."""

    def __init__(self, connection: Connection, counts: dict[str, int]) -> None:
        self._connection = connection
        now = time.time()
        self.dicts = DictState(connection, now, counts)
        self.queues = QueueState(connection, now)
        self._room = Room()

    def load(self, requests: Iterable[Request]) -> None:
        """Reads together what these requests are about."""
        digests: dict[str, set[bytes]] = {}
        partitions: dict[str, set[bytes]] = {}
        taken: dict[Key, int] = {}
        for op in (op for request in requests for op in request.ops):
            if op.kind < OF_QUEUES:
                if op.kind not in (SIZE, CLEAR):
                    digests.setdefault(op.object_id, set()).add(op.key[:DIGEST_SIZE])
            elif op.kind in (PUSH, TAKE, LENGTH):
                partitions.setdefault(op.object_id, set()).add(op.key)
                if op.kind == TAKE:
                    key = op.object_id, op.key
                    taken[key] = taken.get(key, 0) + op.number
        for object_id, of_it in digests.items():
            self.dicts.load(object_id, of_it)
        for object_id, of_it in partitions.items():
            self.queues.load(object_id, of_it)
        for key, number in taken.items():
            self.queues.read(key, min(number, AHEAD))

    def carry_out(self, request: Request) -> list[Result]:
        """Carries out a request."""
        self._room.next_request()
        results: list[Result] = []
        for op in request.ops:
            result = self._on_dict(op) if op.kind < OF_QUEUES else self._on_queue(op, request)
            if op.kind not in READS and result.status == OK:
                request.changed = True
            results.append(result)
        return results

    def _on_dict(self, op: Op) -> Result:
        dicts, kind, object_id = self.dicts, op.kind, op.object_id
        digest, key = op.key[:DIGEST_SIZE], op.key[DIGEST_SIZE:]
        if kind == GET:
            return dicts.get(object_id, digest, self._room)
        if kind in (PUT, ADD):
            return dicts.put(object_id, digest, key, op.values[0], only_new=kind == ADD)
        if kind == HAS:
            return dicts.has(object_id, digest)
        if kind == POP:
            return dicts.pop(object_id, digest, self._room)
        if kind == SIZE:
            return dicts.size(object_id)
        return dicts.clear(object_id)

    def _on_queue(self, op: Op, request: Request) -> Result:
        queues, kind, key = self.queues, op.kind, (op.object_id, op.key)
        if kind == PUSH:
            result = queues.push(key, op.values, op.number / 1000)
            if result.status == OK:
                request.pushed[key] = request.pushed.get(key, 0) + len(op.values)
            return result
        if kind == TAKE:
            result = queues.take(key, op.number, self._room)
            if result.status == OK:
                request.took = True
                request.freed.add(key)
            return result
        if kind == LENGTH:
            return queues.length(key)
        if kind == TOTAL:
            return queues.total(op.object_id)
        request.freed.add(key)
        return queues.empty(op.object_id, op.key if kind == EMPTY else None)

    def give_back(self, key: Key, items: Sequence[tuple[int, Value]]) -> bool:
        """Puts items to where they were taken from; False: the queue is gone."""
        kept = or_(NamedObject.kept_until.is_(None), NamedObject.kept_until > time.time())
        there = select(NamedObject.object_id).where(NamedObject.object_id == key[0], kept)
        if self._connection.scalar(there) is None:
            return False
        self.queues.give_back(key, items)
        return True

    def flush(self) -> None:
        """Reads the values that somebody gets, and writes what was changed."""
        self.dicts.flush()
        self.queues.flush()
