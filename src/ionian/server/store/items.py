"""What is in dicts and queues: operations in groups, a transaction each, and their answers until these are confirmed."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import Connection, bindparam, delete, insert, select

from ionian.protocol.items import READS, Value, pack_done, unpack_done

from .cells import Result
from .database import Database
from .dict_items import DictState
from .item_work import Request, Work
from .many import execute_many
from .queue_items import Key
from .schema import ItemAnswer


@dataclass(slots=True)
class Forget:
    """Nobody will confirm these answers. What was taken goes back to where it was, and is in `pushed` then."""

    request_ids: Sequence[str]
    pushed: dict[Key, int] = field(default_factory=dict[Key, int])


Write = Request | Forget

Answer = tuple[bytes, str]  # payload, what was taken


class Items:
    """What is in dicts and queues. One thread calls `carry_out`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._answers: dict[str, Answer] = {}  # those that are not confirmed
        self._over: list[str] = []  # those whose rows go with the next transaction that writes
        self._counts: dict[str, int] = {}  # entries of dicts that were counted

    def load(self) -> list[str]:
        """The requests whose answers are not confirmed: called once, at the start."""
        query = select(ItemAnswer.request_id, ItemAnswer.payload, ItemAnswer.taken)
        with self._database.read() as session:
            for request_id, payload, taken in session.execute(query):
                self._answers[request_id] = payload, taken
        return list(self._answers)

    def count_anew(self) -> None:
        """Something else deleted entries."""
        self._counts = {}

    def carry_out(self, group: Sequence[Write]) -> None:
        """Carries out a group, all or nothing of it; it is on disk when this returns. Raises StoreError."""
        over = [each for one in group if isinstance(one, Request) for each in one.confirmed]
        over += [each for one in group if isinstance(one, Forget) for each in one.request_ids]
        over = [each for each in over if each in self._answers]
        writes = any(_changes(one) for one in group) or any(self._answers[each][1] for each in over)
        try:
            with self._database.transaction(writes=writes) as connection:
                work = Work(connection, self._counts)
                kept = self._answered(work, group)
                if writes:
                    work.dicts.touch()
                    _write_answers(connection, kept, [*self._over, *over])
        except BaseException:
            self._counts = {}
            raise
        self._over = [] if writes else [*self._over, *over]
        self._answers.update(kept)
        for each in over:
            self._answers.pop(each, None)
        if not writes and work.dicts.touched:
            self._touch(work.dicts)

    def _answered(self, work: Work, group: Sequence[Write]) -> dict[str, Answer]:
        """Carries out what was not carried out before; returns the answers that are to be kept."""
        requests = {one.request_id: one for one in reversed(group) if isinstance(one, Request)}
        work.load(one for one in requests.values() if one.request_id not in self._answers)
        results: dict[str, list[Result]] = {}
        for one in group:
            if isinstance(one, Forget):
                for request_id in one.request_ids:
                    self._give_back(work, one.pushed, request_id, None)
                continue
            for request_id, indexes in one.returned.items():
                self._give_back(work, one.pushed, request_id, indexes)
            if one is requests[one.request_id] and one.request_id not in self._answers:
                results[one.request_id] = work.carry_out(one)
        work.flush()
        kept: dict[str, Answer] = {}
        for request_id, of_it in results.items():
            request = requests[request_id]
            request.answer = pack_done([result.done() for result in of_it])
            if request.changed:
                kept[request_id] = request.answer, _taken(request, of_it)
        for one in group:
            if isinstance(one, Request):
                self._repeat(one, requests[one.request_id])
        return kept

    def _repeat(self, one: Request, first: Request) -> None:
        """The answer of a request that came before."""
        known = self._answers.get(one.request_id)
        if known is not None:
            one.answer, one.changed, one.took = known[0], True, bool(known[1])
        elif one is not first:
            one.answer, one.changed, one.took = first.answer, first.changed, first.took

    def _give_back(
        self, work: Work, pushed: dict[Key, int], request_id: str, indexes: Sequence[int] | None
    ) -> None:
        """Gives back what was taken; of these operations, or of all."""
        payload, taken = self._answers.get(request_id, (b"", ""))
        if not taken:
            return
        count: int
        places: list[tuple[int, str, str, list[int]]]
        count, places = json.loads(taken)
        done = unpack_done(payload, count)
        for index, object_id, partition, positions in places:
            if indexes is not None and index not in indexes:
                continue
            key = object_id, bytes.fromhex(partition)
            items: list[tuple[int, Value]] = list(zip(positions, done[index].values, strict=True))
            if work.give_back(key, items):
                pushed[key] = pushed.get(key, 0) + len(items)

    def _touch(self, dicts: DictState) -> None:
        with self._database.write() as session:
            later = DictState(session.connection(), time.time(), {})
            later.touched = dicts.touched
            later.touch()


def _changes(one: Write) -> bool:
    return isinstance(one, Forget) or any(op.kind not in READS for op in one.ops)


def _taken(request: Request, results: Sequence[Result]) -> str:
    """What is given back if nobody confirms: the number of operations; of each that took, its place and its items'."""
    if not request.took:
        return ""
    places = [
        (index, op.object_id, op.key.hex(), [cell.place[2] for cell in result.cells])
        for index, (op, result) in enumerate(zip(request.ops, results, strict=True))
        if result.cells and len(result.cells[0].place) == 3
    ]
    return json.dumps([len(results), places])


def _write_answers(connection: Connection, kept: dict[str, Answer], over: Sequence[str]) -> None:
    if over:
        execute_many(connection, _DELETE, [{"b_id": each} for each in over])
    if kept:
        rows = [
            {"request_id": request_id, "payload": payload, "taken": taken}
            for request_id, (payload, taken) in kept.items()
        ]
        execute_many(connection, _INSERT, rows)


_INSERT = insert(ItemAnswer)
_DELETE = delete(ItemAnswer).where(ItemAnswer.request_id == bindparam("b_id"))
