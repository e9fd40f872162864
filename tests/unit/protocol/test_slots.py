"""The memory in which a container says what it runs, and its worker what is to end."""

from __future__ import annotations

import mmap

from ionian.protocol.container import SLOT_SIZE
from ionian.protocol.ids import new_id
from ionian.protocol.slots import LEFT_ALONE, Slots, ask, cell_size, runs


def cell_of(slots: int) -> mmap.mmap:
    return mmap.mmap(-1, cell_size(slots))


def test_nothing_runs_in_a_new_container() -> None:
    assert runs(cell_of(4)) == []


def test_what_runs_is_seen_the_oldest_first_until_it_has_ended() -> None:
    cell, call = cell_of(4), new_id("fc")
    slots = Slots(cell)
    slots.begin(2, call, 7, 300)
    slots.begin(0, call, 8, 200)
    slots.begin(3, call, 9, 100)
    assert runs(cell) == [(3, 100, call, 9), (0, 200, call, 8), (2, 300, call, 7)]
    slots.end(0)
    assert [run[0] for run in runs(cell)] == [3, 2]


def test_a_run_is_asked_for_until_the_container_has_answered() -> None:
    cell = cell_of(2)
    slots = Slots(cell)
    slots.begin(1, new_id("fc"), 0, 500)
    assert slots.asked(1) == 0
    assert ask(cell, 1, 500) == 0
    assert slots.asked(1) == 500
    assert ask(cell, 1, 500) == 0
    slots.answer(1, 500)
    assert ask(cell, 1, 500) == 500
    slots.answer(1, LEFT_ALONE)
    assert ask(cell, 1, 500) == LEFT_ALONE


def test_a_request_that_comes_too_late_does_not_hit_the_next_run_of_the_slot() -> None:
    cell = cell_of(1)
    slots = Slots(cell)
    slots.begin(0, new_id("fc"), 0, 500)
    slots.end(0)
    slots.begin(0, new_id("fc"), 1, 600)
    ask(cell, 0, 500)
    assert slots.asked(0) == 0


def test_garbage_in_the_cell_is_no_error() -> None:
    cell = cell_of(1)
    cell[:] = b"\xff" * len(cell)
    assert len(runs(cell)) == len(cell) // SLOT_SIZE


def test_there_is_room_for_every_slot() -> None:
    cell, call = cell_of(3000), new_id("fc")
    Slots(cell).begin(2999, call, 1, 5)
    assert runs(cell) == [(2999, 5, call, 1)]
