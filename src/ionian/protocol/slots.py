"""Slots: which inputs run in a container and since when, in memory that its worker sees too.

A container that runs one input at a time has one slot. The worker looks here for inputs that run too long, and, when
the container has died, for those that died with it. It asks here that one be interrupted: it writes into the slot the
very start that it saw there, so that the request can't hit the input that runs there next.
"""

from __future__ import annotations

import struct
from mmap import mmap

from .container import CELL_CALL_AT, CELL_FORMAT, CELL_SIZE, SLOT_SIZE
from .ids import CALL_ID_LENGTH

_run = struct.Struct(CELL_FORMAT)
_count = struct.Struct("<I")
_ns = struct.Struct("<Q")

COUNT_AT = 12
"""In the first slot: how many slots to look at; 0 is one."""

BACK_AT = 45
"""In the first slot: 1 where the worker wants back what has not begun of the packet that runs."""

ASKED_AT = 48
"""The start of the run that is to be interrupted."""

ANSWER_AT = 56
"""The start of the run that was interrupted; LEFT_ALONE where others share it."""

LEFT_ALONE = 1

Run = tuple[int, int, str, int]  # slot, start (CLOCK_MONOTONIC, ns), call id, index


def cell_size(slots: int) -> int:
    """Bytes of shared memory that a container with so many slots needs."""
    return max(CELL_SIZE, slots * SLOT_SIZE)


class Slots:
    """The container's side."""

    def __init__(self, cell: mmap) -> None:
        self._cell = cell
        self._count = 0

    def begin(self, slot: int, call_id: str, index: int, start_ns: int) -> None:
        """An input runs in this slot from here on."""
        at = slot * SLOT_SIZE
        self._cell[at + CELL_CALL_AT : at + CELL_CALL_AT + CALL_ID_LENGTH] = call_id.encode()
        _run.pack_into(self._cell, at, start_ns, index)
        if slot >= self._count:
            self._count = slot + 1
            _count.pack_into(self._cell, COUNT_AT, self._count)

    def end(self, slot: int) -> None:
        """Its result is on its way."""
        _ns.pack_into(self._cell, slot * SLOT_SIZE, 0)

    def asked(self, slot: int) -> int:
        """The start of the run in this slot, if the worker asks for its end; else 0."""
        at = slot * SLOT_SIZE
        (start,) = _ns.unpack_from(self._cell, at)
        (asked,) = _ns.unpack_from(self._cell, at + ASKED_AT)
        return start if start == asked else 0

    def answer(self, slot: int, answer: int) -> None:
        """Says that the run with that start was interrupted, or that it is LEFT_ALONE."""
        _ns.pack_into(self._cell, slot * SLOT_SIZE + ANSWER_AT, answer)

    def wants_back(self) -> bool:
        """Whether the worker wants back what has not begun; it has its answer with this."""
        wanted, self._cell[BACK_AT] = self._cell[BACK_AT], 0
        return bool(wanted)


def want_back(cell: mmap, wanted: bool) -> None:
    """The worker's side: asks for what has not begun, or does no longer."""
    cell[BACK_AT] = wanted


def wanted_back(cell: mmap) -> bool:
    """Whether the container has not answered yet."""
    return bool(cell[BACK_AT])


def runs(cell: mmap) -> list[Run]:
    """The worker's side: what runs now, the oldest first."""
    (count,) = _count.unpack_from(cell, COUNT_AT)
    found: list[Run] = []
    for slot in range(min(max(count, 1), len(cell) // SLOT_SIZE)):
        at = slot * SLOT_SIZE
        start, index = _run.unpack_from(cell, at)
        if start:
            call_id = cell[at + CELL_CALL_AT : at + CELL_CALL_AT + CALL_ID_LENGTH]
            found.append((slot, start, call_id.decode(errors="replace"), index))
    found.sort(key=lambda run: run[1])
    return found


def ask(cell: mmap, slot: int, start_ns: int) -> int:
    """Asks for the end of a run; returns what the container has answered: its start, LEFT_ALONE, or something else
    where it has not seen it yet."""
    at = slot * SLOT_SIZE
    (answer,) = _ns.unpack_from(cell, at + ANSWER_AT)
    if _ns.unpack_from(cell, at + ASKED_AT)[0] != start_ns:
        _ns.pack_into(cell, at + ANSWER_AT, 0)
        _ns.pack_into(cell, at + ASKED_AT, start_ns)
        return 0
    return answer
