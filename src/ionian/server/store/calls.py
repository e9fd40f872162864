"""Spawned calls: written in groups, a transaction each. What reads them is in `call_reads.py`."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import (
    Boolean,
    Connection,
    Float,
    Integer,
    Update,
    bindparam,
    case,
    insert,
    select,
    tuple_,
    update,
)

from ionian.protocol.batch import BLOB, Batch

from .call_rows import CHUNK
from .call_tries import NewTry, write_tries
from .database import Database
from .many import execute_many
from .rows import marks, read
from .schema import Call, CallInputs, CallResults

END_STEP = 1000
"""Calls that one transaction ends, so that results of others are not kept waiting."""

SPAN = 4096
"""A row of results spans no more inputs than this, so that those of an input are found by a range of `low`."""

REST = -1
"""`low` of the row that says how all inputs end that have no result of their own."""

Outcome = Literal["", "new", "more", "known", "foreign", "closed"]


@dataclass(slots=True)
class NewInputs:
    """Inputs to keep. `outcome` is set by the commit: "new" (with their call), "more" (of a call that was there),
    "known" (kept before), "foreign" (the call is another's) or "closed" (the call takes no more)."""

    call_id: str
    function_id: str
    app_id: str
    environment: str
    tag: str
    parent: str
    created_at: float  # of the call, should it be new: no two are equal
    batch: Batch
    last: bool
    outcome: Outcome = ""
    total: int = 0  # of the call, after the commit
    complete: bool = False
    caller: str = ""

    @property
    def start(self) -> int:
        """The first index; 0 where there are no inputs."""
        return self.batch.index[0] if len(self.batch) else 0

    @property
    def stop(self) -> int:
        """The index behind the last."""
        return self.start + len(self.batch)


@dataclass(slots=True)
class NewResults:
    """Results to keep, none of which is kept yet."""

    batch: Batch
    fed: int = 0  # of its inputs, those that the window counts


@dataclass(slots=True)
class EndCall:
    """A call takes no more inputs, and those without a result end with this failure (of a LOST result)."""

    call_id: str
    failure: bytes
    cancelled: bool = False
    ended: dict[str, int] = field(default_factory=dict[str, int])  # function → inputs; set by the commit


@dataclass(slots=True)
class EndCalls:
    """The same for all calls of an app or of a function. `left` is set by the commit: more of them are to be ended."""

    failure: bytes
    app_id: str = ""
    function_id: str = ""
    but: frozenset[str] = field(default_factory=frozenset[str])  # these calls go on for now
    cancelled: bool = False
    left: bool = False
    ended: dict[str, int] = field(default_factory=dict[str, int])


Write = NewInputs | NewResults | NewTry | EndCall | EndCalls


class Calls:
    """The spawned calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def write(self, group: Sequence[Write]) -> None:
        """Carries out a group of writes, all or none; it is on disk when this returns."""
        inputs = [one for one in group if isinstance(one, NewInputs)]
        results = [one for one in group if isinstance(one, NewResults) and len(one.batch)]
        tries = [one for one in group if isinstance(one, NewTry)]
        with self._database.transaction(writes=True) as connection:
            now = time.time()
            if inputs:
                _add_inputs(connection, inputs, now)
            if results:
                _add_results(connection, results, now)
            if tries:
                write_tries(connection, tries)
            for one in group:
                if isinstance(one, EndCall):
                    _end(connection, [one.call_id], one, now)
                elif isinstance(one, EndCalls):
                    _end_step(connection, one, now)


def named_blobs(batch: Batch) -> str:
    """The digests that the rows of a batch name, one a line."""
    if not any(code & BLOB for code in batch.code):
        return ""
    rows = zip(batch.code, batch.payloads(), strict=True)
    return "\n".join(payload.decode().split()[0] for code, payload in rows if code & BLOB)


# --- inputs

_INSERT_CALL = insert(Call)
_INSERT_INPUTS = insert(CallInputs)
_KNOWN = "SELECT call_id, environment, function_id, total, complete, finished_at FROM calls"


@dataclass(slots=True)
class _Known:
    """What the store and this transaction know of a call."""

    environment: str
    function_id: str
    total: int
    complete: bool
    finished: bool


def _add_inputs(connection: Connection, group: list[NewInputs], now: float) -> None:
    calls = _known(connection, list({one.call_id for one in group}))
    kept = _kept(connection, [(one.call_id, one.start) for one in group if one.call_id in calls])
    new: list[dict[str, Any]] = []
    rows: list[dict[str, Any]] = []
    grown: dict[str, _Known] = {}
    for one in group:
        call = calls.get(one.call_id)
        if call is None:
            one.outcome = "new"
            call = calls[one.call_id] = _Known(
                one.environment, one.function_id, one.stop, one.last, one.last and not one.stop
            )
            new.append(_call_row(one, now if call.finished else None))
        else:
            one.outcome = _fits(one, call, (one.call_id, one.start) in kept)
            if one.outcome == "more":
                call.total, call.complete = max(call.total, one.stop), call.complete or one.last
                grown[one.call_id] = call
        if one.outcome in ("new", "more") and len(one.batch):
            kept.add((one.call_id, one.start))
            rows.append(_inputs_row(one))
        one.total, one.complete = call.total, call.complete
    if new:
        execute_many(connection, _INSERT_CALL, new)
    if rows:
        execute_many(connection, _INSERT_INPUTS, rows)
    if grown:
        _grow(connection, grown, now)


def _fits(one: NewInputs, call: _Known, is_kept: bool) -> Outcome:
    if (one.environment, one.function_id) != (call.environment, call.function_id):
        return "foreign"
    if is_kept and len(one.batch):
        return "known"
    if call.finished or (call.complete and one.stop > call.total):
        return "closed" if len(one.batch) else "known"
    return "more"


def _known(connection: Connection, call_ids: list[str]) -> dict[str, _Known]:
    found: dict[str, _Known] = {}
    for at in range(0, len(call_ids), CHUNK):
        part = call_ids[at : at + CHUNK]
        sql = f"{_KNOWN} WHERE call_id IN ({marks(len(part))})"
        for call_id, environment, function_id, total, complete, finished_at in read(connection, sql, *part):
            found[call_id] = _Known(environment, function_id, total, bool(complete), finished_at is not None)
    return found


def _kept(connection: Connection, keys: list[tuple[str, int]]) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    columns = (CallInputs.call_id, CallInputs.start)
    for at in range(0, len(keys), CHUNK):
        query = select(*columns).where(tuple_(*columns).in_(keys[at : at + CHUNK]))
        found.update((call_id, start) for call_id, start in connection.execute(query))
    return found


def _call_row(one: NewInputs, finished_at: float | None) -> dict[str, Any]:
    return {
        "call_id": one.call_id,
        "app_id": one.app_id,
        "environment": one.environment,
        "function_id": one.function_id,
        "tag": one.tag,
        "parent": one.parent,
        "created_at": one.created_at,
        "total": one.stop,
        "complete": one.last,
        "done": 0,
        "cancelled": False,
        "finished_at": finished_at,
        "caller": one.caller,
    }


def _inputs_row(one: NewInputs) -> dict[str, Any]:
    batch = one.batch
    return {
        "call_id": one.call_id,
        "start": one.start,
        "stop": one.stop,
        "blobs": named_blobs(batch),
        "columns": batch.header(),
        "payload": bytes(batch.payload),
    }


def _grow(connection: Connection, grown: dict[str, _Known], now: float) -> None:
    total, complete = bindparam("b_total", type_=Integer), bindparam("b_complete", type_=Boolean)
    ended = complete & (Call.done >= total) & Call.finished_at.is_(None)
    statement = (
        update(Call)
        .where(Call.call_id == bindparam("b_id"))
        .values(total=total, complete=complete, finished_at=case((ended, now), else_=Call.finished_at))
    )
    rows = [{"b_id": id, "b_total": call.total, "b_complete": call.complete} for id, call in grown.items()]
    connection.execute(statement, rows)


# --- results

_INSERT_RESULTS = insert(CallResults).values(
    {name: bindparam(name) for name in ("call_id", "low", "high", "blobs", "columns", "payload")}
)


def _count_results() -> Update:
    done = Call.done + bindparam("b_count", type_=Integer)
    ended = Call.complete & (done >= Call.total) & Call.finished_at.is_(None)
    now = bindparam("b_now", type_=Float)
    return (
        update(Call)
        .where(Call.call_id == bindparam("b_id"))
        .values(done=done, finished_at=case((ended, now), else_=Call.finished_at))
    )


_COUNT_RESULTS = _count_results()


def _add_results(connection: Connection, group: list[NewResults], now: float) -> None:
    rows: list[dict[str, Any]] = []
    counts: dict[str, int] = {}
    for one in group:
        batch = one.batch
        counts[batch.call_id] = counts.get(batch.call_id, 0) + len(batch)
        rows += [_results_row(part) for part in split(batch)]
    execute_many(connection, _INSERT_RESULTS, rows)
    ended = [{"b_id": id, "b_count": count, "b_now": now} for id, count in counts.items()]
    execute_many(connection, _COUNT_RESULTS, ended)


def _results_row(batch: Batch) -> dict[str, Any]:
    return {
        "call_id": batch.call_id,
        "low": min(batch.index),
        "high": max(batch.index),
        "blobs": named_blobs(batch),
        "columns": batch.header(),
        "payload": bytes(batch.payload),
    }


def split(batch: Batch) -> list[Batch]:
    """The batch in parts that span at most `SPAN` inputs each: nearly always itself."""
    if max(batch.index) - min(batch.index) < SPAN:
        return [batch]
    parts: dict[int, list[int]] = {}
    for row, index in enumerate(batch.index):
        parts.setdefault(index // SPAN, []).append(row)
    return [batch.pick(rows) for rows in parts.values()]


# --- ends


def _end_step(connection: Connection, one: EndCalls, now: float) -> None:
    query = select(Call.call_id).where(Call.finished_at.is_(None), Call.call_id.not_in(one.but))
    if one.app_id:
        query = query.where(Call.app_id == one.app_id)
    if one.function_id:
        query = query.where(Call.function_id == one.function_id)
    call_ids = list(connection.scalars(query.limit(END_STEP)))
    one.left = len(call_ids) == END_STEP
    _end(connection, call_ids, one, now)


def _end(connection: Connection, call_ids: list[str], how: EndCall | EndCalls, now: float) -> None:
    """Ends those of the calls that are unfinished."""
    how.ended = {}  # of a transaction that was rolled back, perhaps
    rows = {"low": REST, "high": REST, "blobs": "", "columns": b"", "payload": how.failure}
    for at in range(0, len(call_ids), CHUNK):
        part = Call.call_id.in_(call_ids[at : at + CHUNK])
        query = select(Call.call_id, Call.function_id, Call.total - Call.done)
        unfinished: list[str] = []
        for call_id, function_id, left in connection.execute(query.where(part, Call.finished_at.is_(None))):
            unfinished.append(call_id)
            how.ended[function_id] = how.ended.get(function_id, 0) + left
        if unfinished:
            connection.execute(insert(CallResults), [{"call_id": call_id, **rows} for call_id in unfinished])
            connection.execute(
                update(Call)
                .where(Call.call_id.in_(unfinished))
                .values(finished_at=now, complete=True, cancelled=how.cancelled)
            )
