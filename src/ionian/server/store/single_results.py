"""The results of calls with one input each, looked up together: who spawns single inputs has thousands of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from sqlalchemy import Connection

from ionian.protocol.batch import LOST, Batch

from .call_rows import CHUNK
from .calls import REST
from .rows import marks, read


class _Kept(NamedTuple):
    number: int
    low: int
    columns: bytes
    size: int


def single_results(
    connection: Connection, call_ids: Sequence[str], max_bytes: int
) -> dict[str, Batch | None]:
    """The result of each call, None of one that has none yet: of as many of the first calls as have about so many bytes
    together."""
    kept = _kept(connection, call_ids)
    chosen: list[str] = []
    size = 0
    for call_id in call_ids:
        size += kept[call_id].size if call_id in kept else 0
        if chosen and size > max_bytes:
            break
        chosen.append(call_id)
    payloads = _payloads(connection, [kept[call_id].number for call_id in chosen if call_id in kept])
    found: dict[str, Batch | None] = dict.fromkeys(chosen)
    for call_id in chosen:
        if (row := kept.get(call_id)) is not None and row.number in payloads:
            found[call_id] = _batch(call_id, row, payloads[row.number])
    return found


_RESULTS = "SELECT call_id, number, low, columns, length(payload) FROM call_results"
_PAYLOADS = "SELECT number, payload FROM call_results"


def _kept(connection: Connection, call_ids: Sequence[str]) -> dict[str, _Kept]:
    found: dict[str, _Kept] = {}
    for at in range(0, len(call_ids), CHUNK):
        part = call_ids[at : at + CHUNK]
        for call_id, *kept in read(connection, f"{_RESULTS} WHERE call_id IN ({marks(len(part))})", *part):
            row = _Kept(*kept)
            if row.low != REST or call_id not in found:  # its own comes before that of all without one
                found[call_id] = row
    return found


def _payloads(connection: Connection, numbers: Sequence[int]) -> dict[int, bytes]:
    found: dict[int, bytes] = {}
    for at in range(0, len(numbers), CHUNK):
        part = numbers[at : at + CHUNK]
        found.update(read(connection, f"{_PAYLOADS} WHERE number IN ({marks(len(part))})", *part))  # type: ignore[arg-type]
    return found


def _batch(call_id: str, row: _Kept, payload: bytes) -> Batch:
    if row.low == REST:
        return Batch(call_id, [0], [len(payload)], payload, code=[LOST])
    batch = Batch.unpack(memoryview(row.columns), payload)
    batch.container = batch.seq = 0  # those of the worker
    return batch
