"""What is read of spawned calls: what of them is to run, and what became of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, exists, func, select

from ionian.protocol.batch import LOST, Batch

from .call_rows import CHUNK, COLUMNS, CallRow, calls_after, calls_by_id
from .calls import REST, SPAN
from .database import Database
from .rows import marks, read
from .schema import Call, CallInputs, CallResults
from .single_results import single_results


class Span(NamedTuple):
    """Inputs that are kept together, without their payload."""

    start: int
    stop: int
    size: int


@dataclass(slots=True)
class Waiting:
    """An unfinished call; `ended` are the columns of its results."""

    call: CallRow
    ended: list[Batch]
    spans: list[Span]  # the first of its inputs, at most `SPANS`


@dataclass(slots=True)
class UnsentCall:
    """An unfinished call that lacks inputs, and how many it has."""

    call_id: str
    function_id: str
    app_id: str
    environment: str
    caller: str
    received: int = 0


SPANS = 256
"""Descriptions of kept inputs that are read at a time."""

_SIZES = "SELECT call_id, start, stop, length(payload) FROM call_inputs"
_INPUTS = "SELECT call_id, start, columns, payload FROM call_inputs"


@dataclass(slots=True)
class Results:
    """Results of a call in the order of its inputs, without a gap. `expired`: they were kept and are gone."""

    call: CallRow
    batch: Batch | None
    expired: bool = False


class CallReads:
    """Questions about spawned calls."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def find(self, call_id: str) -> CallRow | None:
        """A call by its id."""
        return self.find_each([call_id])[0]

    def find_each(self, call_ids: Sequence[str]) -> list[CallRow | None]:
        """Calls by their ids."""
        with self._database.transaction(writes=False) as connection:
            found = calls_by_id(connection, call_ids)
        return [found.get(call_id) for call_id in call_ids]

    def newest(self) -> float:
        """When the newest call was made: of each environment its index says it at once."""
        newest = 0.0
        with self._database.read() as session:
            environment = session.scalar(select(func.min(Call.environment)))
            while environment is not None:
                there = select(func.max(Call.created_at)).where(Call.environment == environment)
                newest = max(newest, session.scalar(there) or 0.0)
                environment = session.scalar(
                    select(func.min(Call.environment)).where(Call.environment > environment)
                )
        return newest

    def unfinished_functions(self) -> list[tuple[str, str]]:
        """The functions, with their apps, that have unfinished calls."""
        query = select(Call.function_id, Call.app_id).where(Call.finished_at.is_(None)).distinct()
        with self._database.read() as session:
            return [(function_id, app_id) for function_id, app_id in session.execute(query)]

    def has_unfinished(self, app_id: str) -> bool:
        """Whether an app has an unfinished call."""
        query = select(exists().where(Call.app_id == app_id, Call.finished_at.is_(None)))
        with self._database.read() as session:
            return bool(session.scalar(query))

    def waiting_inputs(self, function_id: str) -> int:
        """How many inputs of a function have no result."""
        query = select(func.coalesce(func.sum(Call.total - Call.done), 0)).where(
            Call.function_id == function_id, Call.finished_at.is_(None)
        )
        with self._database.read() as session:
            return int(session.scalar(query) or 0)

    def waiting_by_function(self, function_ids: Sequence[str]) -> dict[str, int]:
        """The same of those of several functions that have calls without an end."""
        waiting = func.coalesce(func.sum(Call.total - Call.done), 0)
        query = select(Call.function_id, waiting).where(Call.finished_at.is_(None)).group_by(Call.function_id)
        found: dict[str, int] = {}
        with self._database.read() as session:
            for at in range(0, len(function_ids), CHUNK):
                of_some = query.where(Call.function_id.in_(function_ids[at : at + CHUNK]))
                found.update({row[0]: int(row[1]) for row in session.execute(of_some)})
        return found

    def unsent(self) -> list[UnsentCall]:
        """The unfinished calls that take more inputs, or lack some between others."""
        received = func.coalesce(func.sum(CallInputs.stop - CallInputs.start), 0)
        had = select(received).where(CallInputs.call_id == Call.call_id).scalar_subquery()
        query = select(Call.call_id, Call.function_id, Call.app_id, Call.environment, Call.caller, had).where(
            Call.finished_at.is_(None),
            Call.complete.is_(False) | ((Call.total > 1) & (had < Call.total)),
        )
        with self._database.read() as session:
            return [UnsentCall(*row) for row in session.execute(query)]

    # --- to run

    def waiting(self, function_id: str, after: float, limit: int) -> list[Waiting]:
        """The unfinished calls of a function that were made after a moment, oldest first."""
        with self._database.transaction(writes=False) as connection:
            return _waiting(connection, calls_after(connection, function_id, after, limit))

    def unfinished(self, call_ids: Sequence[str]) -> list[Waiting]:
        """Those of these that are unfinished spawned calls."""
        with self._database.transaction(writes=False) as connection:
            found = calls_by_id(connection, call_ids, unfinished=True)
            return _waiting(connection, list(found.values()))

    def spans(self, call_id: str, after: int) -> list[Span]:
        """The next kept inputs of a call that begin after an index: at most `SPANS`."""
        with self._database.transaction(writes=False) as connection:
            return _spans(connection, call_id, after)

    def inputs(self, keys: Sequence[tuple[str, int]]) -> dict[tuple[str, int], Batch]:
        """Kept inputs by their calls and first indexes."""
        starts: dict[str, list[int]] = {}
        for call_id, start in keys:
            starts.setdefault(call_id, []).append(start)
        firsts = [call_id for call_id, of_call in starts.items() if of_call == [0]]
        found: dict[tuple[str, int], Batch] = {}
        with self._database.transaction(writes=False) as connection:
            for at in range(0, len(firsts), CHUNK):
                part = firsts[at : at + CHUNK]
                _take(connection, found, f"start = 0 AND call_id IN ({marks(len(part))})", part)
            for call_id, of_call in starts.items():
                for at in range(0, len(of_call) if of_call != [0] else 0, CHUNK):
                    part = of_call[at : at + CHUNK]
                    _take(
                        connection, found, f"call_id = ? AND start IN ({marks(len(part))})", [call_id, *part]
                    )
        return found

    # --- what became of them

    def results(self, call_id: str, start: int, limit: int, max_bytes: int) -> Results | None:
        """Results from input `start` on; None where there is no such call."""
        with self._database.transaction(writes=False) as connection:
            call = calls_by_id(connection, [call_id]).get(call_id)
            return None if call is None else _results(connection, call, start, limit, max_bytes)

    def results_each(self, inputs: Sequence[tuple[str, int]], max_bytes: int) -> list[Results | None]:
        """The result of each of these inputs, by call and index: as many of the first ones as have about so many bytes
        together."""
        with self._database.transaction(writes=False) as connection:
            calls = calls_by_id(connection, [call_id for call_id, _ in inputs])
            single = [call_id for call_id, call in calls.items() if call.total == 1]
            batches = single_results(connection, single, max_bytes)
            found: list[Results | None] = []
            size = 0
            for call_id, index in inputs:
                call = calls.get(call_id)
                if call is None:
                    found.append(None)
                    continue
                if call.total != 1 or index:
                    one = _results(connection, call, index, 1, max_bytes)
                elif call_id in batches:
                    one = _as_results(call, batches[call_id], index)
                else:
                    break
                found.append(one)
                size += 0 if one.batch is None else len(one.batch.payload)
                if size > max_bytes:
                    break
            return found

    def ends(self, call_id: str, limit: int) -> tuple[list[Batch], bytes | None]:
        """How a call's first inputs ended: columns of results, with the payloads of failures that the server made,
        and the failure of all that have none."""
        query = select(CallResults.columns, CallResults.number).where(
            CallResults.call_id == call_id, CallResults.low.between(0, limit - 1)
        )
        found: list[Batch] = []
        with self._database.read() as session:
            for columns, number in session.execute(query).all():
                batch = Batch.unpack_header(memoryview(columns))
                if LOST in batch.code:
                    payload = select(CallResults.payload).where(CallResults.number == number)
                    batch.payload = session.scalar(payload) or b""
                found.append(batch)
            rest = select(CallResults.payload).where(CallResults.call_id == call_id, CallResults.low == REST)
            return found, session.scalar(rest)

    def children(self, parents: Sequence[str], limit: int) -> list[CallRow]:
        """The calls that were made in these inputs, oldest first."""
        found: list[CallRow] = []
        with self._database.read() as session:
            for at in range(0, len(parents), CHUNK):
                query = select(*COLUMNS).where(Call.parent.in_(parents[at : at + CHUNK]))
                rows = session.execute(query.order_by(Call.created_at).limit(limit))
                found += [CallRow(*row) for row in rows]
        return found[:limit]


def _results(connection: Connection, call: CallRow, start: int, limit: int, max_bytes: int) -> Results:
    rows = connection.execute(
        select(CallResults.number, CallResults.columns).where(
            CallResults.call_id == call.call_id,
            CallResults.low.between(start - SPAN + 1, start + limit - 1),
            CallResults.high >= start,
        )
    )
    stored = [(number, columns) for number, columns in rows]
    return _as_results(call, _in_order(connection, call, stored, start, limit, max_bytes), start)


def _as_results(call: CallRow, batch: Batch | None, start: int) -> Results:
    return Results(call, batch, batch is None and call.finished_at is not None and call.total > start)


def _waiting(connection: Connection, calls: Sequence[CallRow]) -> list[Waiting]:
    """Single inputs, of which there may be many, are looked up together."""
    singles = [call.call_id for call in calls if call.total == 1]
    sizes: dict[str, Span] = {}
    for at in range(0, len(singles), CHUNK):
        part = singles[at : at + CHUNK]
        for call_id, *span in read(connection, f"{_SIZES} WHERE call_id IN ({marks(len(part))})", *part):
            sizes[call_id] = Span(*span)
    found: list[Waiting] = []
    for call in calls:
        span = sizes.get(call.call_id)
        spans = _spans(connection, call.call_id, -1) if span is None else [span]
        found.append(Waiting(call, _ended(connection, call) if call.done else [], spans))
    return found


def _ended(connection: Connection, call: CallRow) -> list[Batch]:
    query = select(CallResults.columns).where(CallResults.call_id == call.call_id, CallResults.low >= 0)
    return [Batch.unpack_header(memoryview(columns)) for columns in connection.scalars(query)]


def _spans(connection: Connection, call_id: str, after: int) -> list[Span]:
    query = (
        select(CallInputs.start, CallInputs.stop, func.length(CallInputs.payload))
        .where(CallInputs.call_id == call_id, CallInputs.start > after)
        .order_by(CallInputs.start)
        .limit(SPANS)
    )
    return [Span(start, stop, size) for start, stop, size in connection.execute(query)]


def _take(
    connection: Connection, found: dict[tuple[str, int], Batch], where: str, values: Sequence[str | int]
) -> None:
    for call_id, start, header, payload in read(connection, f"{_INPUTS} WHERE {where}", *values):
        found[call_id, start] = Batch.unpack(memoryview(header), payload)


def _in_order(
    connection: Connection,
    call: CallRow,
    rows: Sequence[tuple[int, bytes]],
    start: int,
    limit: int,
    max_bytes: int,
) -> Batch | None:
    """The results of inputs from `start` on, until one lacks, or they are many."""
    at: dict[int, tuple[int, int]] = {}  # index → the number of its stored batch, and its row there
    headers: dict[int, Batch] = {}
    for number, columns in rows:
        header = headers[number] = Batch.unpack_header(memoryview(columns))
        for row, index in enumerate(header.index):
            if start <= index < start + limit:
                at[index] = (number, row)
    rest = _rest(connection, call, start, limit, at)
    wanted: list[int] = []
    size = 0
    for index in range(start, min(start + limit, call.total)):
        if index in at:
            number, row = at[index]
            size += headers[number].size[row]
        elif rest is not None:
            size += len(rest)
        else:
            break
        if wanted and size > max_bytes:
            break
        wanted.append(index)
    if not wanted:
        return None
    return _gather(connection, call.call_id, wanted, at, rest)


def _rest(
    connection: Connection, call: CallRow, start: int, limit: int, at: dict[int, tuple[int, int]]
) -> bytes | None:
    """How the inputs of an ended call end that have no result of their own."""
    if call.finished_at is None or len(at) == min(start + limit, call.total) - start:
        return None
    query = select(CallResults.payload).where(CallResults.call_id == call.call_id, CallResults.low == REST)
    return connection.scalar(query)


def _gather(
    connection: Connection,
    call_id: str,
    wanted: list[int],
    at: dict[int, tuple[int, int]],
    rest: bytes | None,
) -> Batch:
    numbers = sorted({at[index][0] for index in wanted if index in at})
    stored: dict[int, tuple[Batch, list[bytes]]] = {}
    for first in range(0, len(numbers), CHUNK):
        query = select(CallResults.number, CallResults.columns, CallResults.payload).where(
            CallResults.number.in_(numbers[first : first + CHUNK])
        )
        for number, columns, payload in connection.execute(query):
            batch = Batch.unpack(memoryview(columns), payload)
            stored[number] = (batch, batch.payloads())
    parts: list[tuple[int, int, int, bytes]] = []  # code, micros, attempt, payload
    for index in wanted:
        if index not in at:
            parts.append((LOST, 0, 0, rest or b""))
            continue
        batch, payloads = stored[at[index][0]]
        row = at[index][1]
        parts.append((batch.code[row], batch.micros[row], batch.attempt[row], payloads[row]))
    return Batch(
        call_id,
        wanted,
        [len(part[3]) for part in parts],
        b"".join([part[3] for part in parts]),
        code=[part[0] for part in parts],
        micros=[part[1] for part in parts],
        attempt=[part[2] for part in parts],
    )
