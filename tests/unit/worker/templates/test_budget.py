"""Which templates go when memory is short."""

from __future__ import annotations

from ionian.worker.memory import Memory
from ionian.worker.templates.budget import MOST, Kept, has_room, too_many

PLENTY = Memory(total=8000, available=6000)
OLD, MIDDLE, NEW = Kept("old", 1.0, 700), Kept("middle", 2.0, 700), Kept("new", 3.0, 700)


def test_nothing_goes_while_there_is_room() -> None:
    assert too_many([NEW, OLD], PLENTY) == []


def test_of_too_much_the_longest_unused_go() -> None:
    assert too_many([NEW, OLD, MIDDLE], PLENTY) == ["old"]


def test_all_go_where_running_work_needs_the_memory() -> None:
    assert too_many([NEW, OLD], Memory(total=8000, available=-1000)) == ["old", "new"]


def test_one_goes_where_that_frees_enough() -> None:
    assert too_many([NEW, OLD], Memory(total=8000, available=200)) == ["old"]


def test_room_is_made_for_one_that_is_to_come() -> None:
    assert too_many([NEW, OLD], PLENTY, more_mib=700, more=1) == ["old"]


def test_there_are_not_more_than_descriptors_allow() -> None:
    kept = [Kept(str(at), float(at), 1) for at in range(MOST + 2)]
    assert too_many(kept, PLENTY) == ["0", "1"]


def test_what_could_never_be_kept_has_no_room() -> None:
    assert not has_room([], PLENTY, 3000)
    assert not has_room([], Memory(total=8000, available=850), 100)
    assert has_room([OLD], Memory(total=8000, available=850), 100)
    assert has_room([], PLENTY, 100)
