"""Framing and batches: what is packed comes out the same, and what is cut short is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ionian.protocol.batch import OPENING, Batch
from ionian.protocol.ids import CALL_ID_LENGTH, new_id
from ionian.protocol.wire import CALL, PREFIX_SIZE, RESULTS, RUN, entries, pack_entry

CALL_ID = new_id("fc")
one_entry = st.tuples(st.integers(0, 255), st.binary(max_size=50), st.binary(max_size=200))
number = st.integers(0, 2**32 - 1)
row = st.tuples(number, number, number, number, st.binary(max_size=40))


@given(st.lists(one_entry, max_size=5))
def test_the_entries_of_a_frame_come_out_as_they_went_in(packed: list[tuple[int, bytes, bytes]]):
    frame = b"".join(pack_entry(*entry) for entry in packed)
    assert [(kind, bytes(header), bytes(payload)) for kind, header, payload in entries(frame)] == packed


@given(st.lists(one_entry, min_size=1, max_size=3), st.data())
def test_a_frame_that_is_cut_short_is_refused(packed: list[tuple[int, bytes, bytes]], data: st.DataObject):
    last = len(pack_entry(*packed[-1]))
    frame = b"".join(pack_entry(*entry) for entry in packed)
    cut = data.draw(st.integers(1, last - 1))
    with pytest.raises(ValueError, match="expected an entry"):
        list(entries(frame[:-cut]))


@given(st.lists(row, max_size=30), st.integers(0, 2**32 - 1), st.integers(0, 2**64 - 1))
def test_a_batch_comes_out_as_it_went_in(
    rows: list[tuple[int, int, int, int, bytes]], container: int, seq: int
):
    index, attempt, code, micros, payloads = (list(column) for column in zip(*rows, strict=True)) if rows else (
        [], [], [], [], []
    )  # fmt: skip
    sizes = [len(payload) for payload in payloads]
    batch = Batch(
        CALL_ID,
        index,
        sizes,
        b"".join(payloads),
        attempt=attempt,
        code=code,
        micros=micros,
        container=container,
        seq=seq,
    )
    ((kind, header, payload),) = entries(batch.pack(RUN))
    again = Batch.unpack(header, payload)
    assert kind == RUN
    assert (again.call_id, again.container, again.seq, len(again)) == (CALL_ID, container, seq, len(rows))
    assert [list(again.index), list(again.attempt), list(again.code), list(again.micros)] == [
        index,
        attempt,
        code,
        micros,
    ]
    assert again.payloads() == payloads


@given(st.text("abc:0", max_size=60), st.integers(0, 5))
def test_a_call_comes_out_with_its_function_and_its_parent(parent: str, rows: int):
    function = new_id("fu")
    opening = OPENING.pack(function.encode(), len(parent)) + parent.encode()
    batch = Batch(CALL_ID, list(range(rows)), [3] * rows, b"abc" * rows)
    ((kind, header, payload),) = entries(batch.pack(CALL, opening))
    assert kind == CALL
    found, inside, again = Batch.unpack_call(header, payload)
    assert (found, inside, again.call_id) == (function, parent, CALL_ID)
    assert again.payloads() == [b"abc"] * rows


@given(st.integers(-3, 3).filter(bool))
def test_a_batch_whose_sizes_do_not_add_up_is_refused(off: int):
    batch = Batch(CALL_ID, [0, 1], [4, 6], b"x" * (10 + off))
    ((_, header, payload),) = entries(batch.pack(RESULTS))
    with pytest.raises(ValueError, match="expected 10 bytes in a batch"):
        Batch.unpack(header, payload)


def test_a_batch_with_half_a_column_is_refused():
    header = Batch(CALL_ID, [0], [0], b"").header()
    with pytest.raises(ValueError, match="expected whole columns"):
        Batch.unpack(memoryview(header[:-4]), b"")


def test_ids_of_calls_are_as_long_as_the_header_says_and_sort_by_time():
    ids = [new_id("fc") for _ in range(1000)]
    assert {len(one) for one in ids} == {CALL_ID_LENGTH}
    assert len(set(ids)) == 1000
    assert [one[:13] for one in ids] == sorted(one[:13] for one in ids)
    assert PREFIX_SIZE == 9
