"""The results of calls with one input each, looked up together: who spawns single inputs has thousands of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from ionian.protocol.batch import LOST, Batch

from .calls import CHUNK, REST
from .schema import CallResults


class _Kept(NamedTuple):
    number: int
    low: int
    columns: bytes
    size: int


def single_results(session: Session, call_ids: Sequence[str], max_bytes: int) -> dict[str, Batch | None]:
    """The result of each call, None of one that has none yet: of as many of the first calls as have about so many bytes
    together."""
    kept = _kept(session, call_ids)
    chosen: list[str] = []
    size = 0
    for call_id in call_ids:
        size += kept[call_id].size if call_id in kept else 0
        if chosen and size > max_bytes:
            break
        chosen.append(call_id)
    payloads = _payloads(session, [kept[call_id].number for call_id in chosen if call_id in kept])
    found: dict[str, Batch | None] = dict.fromkeys(chosen)
    for call_id in chosen:
        if (row := kept.get(call_id)) is not None and row.number in payloads:
            found[call_id] = _batch(call_id, row, payloads[row.number])
    return found


def _kept(session: Session, call_ids: Sequence[str]) -> dict[str, _Kept]:
    r = CallResults
    query = select(r.call_id, r.number, r.low, r.columns, func.length(r.payload))
    found: dict[str, _Kept] = {}
    for at in range(0, len(call_ids), CHUNK):
        rows = session.execute(query.where(r.call_id.in_(call_ids[at : at + CHUNK])))
        for call_id, number, low, columns, size in rows:
            if low != REST or call_id not in found:  # its own comes before that of all without one
                found[call_id] = _Kept(number, low, columns, size)
    return found


def _payloads(session: Session, numbers: Sequence[int]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for at in range(0, len(numbers), CHUNK):
        query = select(CallResults.number, CallResults.payload).where(
            CallResults.number.in_(numbers[at : at + CHUNK])
        )
        found.update((number, payload) for number, payload in session.execute(query))
    return found


def _batch(call_id: str, row: _Kept, payload: bytes) -> Batch:
    if row.low == REST:
        return Batch(call_id, [0], [len(payload)], payload, code=[LOST])
    batch = Batch.unpack(memoryview(row.columns), payload)
    batch.container = batch.seq = 0  # those of the worker
    return batch
