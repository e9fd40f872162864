"""What is in dicts and queues, in groups of operations on SQLite and PostgreSQL."""

from __future__ import annotations

import random
import time
from collections import deque
from typing import Any

import pytest

from ionian.protocol import items
from ionian.protocol.ids import new_id
from ionian.protocol.items import (
    ADD,
    CLEAR,
    EMPTY,
    EMPTY_ALL,
    FULL,
    GET,
    HAS,
    LATER,
    LENGTH,
    MISSING,
    OK,
    POP,
    PUSH,
    PUT,
    SIZE,
    TAKE,
    TAKEN,
    TOTAL,
    Done,
    Op,
    Value,
    unpack_done,
)
from ionian.server.store import Store
from ionian.server.store.item_work import Request
from ionian.server.store.items import Forget

HOUR_MS = 3_600_000


def digest(key: str) -> bytes:
    return key.encode().ljust(32, b"-")


def request(*ops: Op, confirmed: tuple[str, ...] = (), **fields: Any) -> Request:
    return Request(fields.pop("id", None) or new_id("io"), ops, confirmed, **fields)


def carry_out(store: Store, *ops: Op, **fields: Any) -> list[Done]:
    one = request(*ops, **fields)
    store.items.carry_out([one])
    return unpack_done(one.answer, len(ops))


def put(key: str, value: bytes, kind: int = PUT) -> Op:
    return Op(kind, "di-1", digest(key) + key.encode(), (Value(value),))


def on(kind: int, key: str) -> Op:
    return Op(kind, "di-1", digest(key))


def push(*values: bytes, partition: bytes = b"", queue: str = "qu-1", keep_ms: int = HOUR_MS) -> Op:
    return Op(PUSH, queue, partition, [Value(value) for value in values], keep_ms)


def take(number: int = 1, partition: bytes = b"") -> Op:
    return Op(TAKE, "qu-1", partition, (), number)


def length(store: Store, partition: bytes = b"") -> int:
    return carry_out(store, Op(LENGTH, "qu-1", partition))[0].number


# --- against a model


def random_dict_op(dice: random.Random, model: dict[str, bytes]) -> tuple[Op, Done]:
    """An operation, and what comes of it in a dict of Python."""
    key, value = dice.choice("abcde"), dice.randbytes(dice.choice([0, 1, 50]))
    kind = dice.choice([GET, HAS, PUT, PUT, ADD, POP, POP, SIZE] + [CLEAR] * (dice.random() < 0.1))
    there = model.get(key)
    missing = Done(MISSING)
    if kind == SIZE:
        return Op(SIZE, "di-1"), Done(OK, len(model))
    if kind == CLEAR:
        model.clear()
        return Op(CLEAR, "di-1"), Done(OK)
    if kind in (PUT, ADD):
        if kind == ADD and there is not None:
            return put(key, value, ADD), Done(TAKEN)
        model[key] = value
        return put(key, value, kind), Done(OK)
    if there is None:
        return on(kind, key), missing
    if kind == POP:
        del model[key]
    return on(kind, key), Done(OK) if kind == HAS else Done(OK, 0, [Value(there)])


def random_queue_op(dice: random.Random, model: dict[bytes, deque[bytes]]) -> tuple[Op, Done]:
    """The same for a queue."""
    partition = dice.choice([b"", b"p"])
    queue = model.setdefault(partition, deque())
    kind = dice.choice([PUSH, PUSH, TAKE, TAKE, LENGTH, TOTAL] + [EMPTY, EMPTY_ALL] * (dice.random() < 0.1))
    if kind == PUSH:
        values = [dice.randbytes(3) for _ in range(dice.randint(1, 4))]
        queue.extend(values)
        return push(*values, partition=partition), Done(OK, len(queue))
    if kind == TAKE:
        number = dice.randint(1, 5)
        taken = [Value(queue.popleft()) for _ in range(min(number, len(queue)))]
        return take(number, partition), Done(OK, len(queue), taken) if taken else Done(MISSING)
    if kind == LENGTH:
        return Op(LENGTH, "qu-1", partition), Done(OK, len(queue))
    if kind == TOTAL:
        return Op(TOTAL, "qu-1"), Done(OK, sum(map(len, model.values())))
    if kind == EMPTY:
        queue.clear()
        return Op(EMPTY, "qu-1", partition), Done(OK)
    model.clear()
    return Op(EMPTY_ALL, "qu-1"), Done(OK)


@pytest.mark.parametrize("seed", range(6))
def test_groups_do_what_python_would_do_one_by_one(store: Store, seed: int) -> None:
    dice = random.Random(seed)
    entries: dict[str, bytes] = {}
    partitions: dict[bytes, deque[bytes]] = {}
    for _ in range(40):
        group: list[Request] = []
        expected: list[list[Done]] = []
        for _ in range(dice.randint(1, 5)):
            pairs = [
                random_dict_op(dice, entries) if dice.random() < 0.5 else random_queue_op(dice, partitions)
                for _ in range(dice.randint(1, 6))
            ]
            group.append(request(*[op for op, _ in pairs]))
            expected.append([done for _, done in pairs])
        store.items.carry_out(group)
        got = [unpack_done(one.answer, len(one.ops)) for one in group]
        assert [[(*each[:2], list(each[2])) for each in of] for of in got] == [
            [(*each[:2], list(each[2])) for each in of] for of in expected
        ]


def test_what_was_carried_out_is_there_after_a_new_start(store: Store, url: str) -> None:
    carry_out(store, put("a", b"1"), push(b"x", b"y"), take())
    again = Store.open(url)
    assert carry_out(again, on(GET, "a")) == [Done(OK, 0, [Value(b"1")])]
    assert carry_out(again, take()) == [Done(OK, 0, [Value(b"y")])]
    again.close()


# --- the same request again


def test_a_request_that_comes_again_is_answered_again_and_not_carried_out(store: Store, url: str) -> None:
    ops = (push(b"x", b"y"), take(), put("a", b"1", ADD), on(POP, "a"))
    first = carry_out(store, *ops, id="io-1")
    assert carry_out(store, *ops, id="io-1") == first
    again = Store.open(url)
    assert again.items.load() == ["io-1"]
    assert carry_out(again, *ops, id="io-1") == first
    assert length(again) == 1
    again.close()


def test_a_request_that_comes_twice_in_a_group_is_carried_out_once(store: Store) -> None:
    store.items.carry_out([request(push(b"x"))])
    twice = [request(take(), id="io-1") for _ in range(2)]
    store.items.carry_out(twice)
    assert [unpack_done(one.answer, 1)[0].values for one in twice] == [[Value(b"x")]] * 2


def test_an_answer_that_is_confirmed_is_kept_no_more(store: Store, url: str) -> None:
    carry_out(store, push(b"x"), id="io-1")
    carry_out(store, take(), id="io-2", confirmed=("io-1",))
    carry_out(store, Op(LENGTH, "qu-1", b""), confirmed=("io-2",))
    again = Store.open(url)
    assert again.items.load() == []
    again.close()


# --- what is given back


def test_what_nobody_confirms_goes_back_to_where_it_was(store: Store) -> None:
    queue_id = store.objects.create(new_id("qu"), kind="queue", environment="main", name="q").object_id
    ops = [push(b"1", b"2", b"3", queue=queue_id), Op(TAKE, queue_id, b"", (), 2)]
    carry_out(store, *ops, id="io-1")
    forget = Forget(["io-1"])
    store.items.carry_out([forget])
    assert forget.pushed == {(queue_id, b""): 2}
    assert carry_out(store, Op(TAKE, queue_id, b"", (), 9))[0].values == [
        Value(b"1"),
        Value(b"2"),
        Value(b"3"),
    ]


def test_of_a_request_only_what_is_not_wanted_goes_back(store: Store) -> None:
    queue_id = store.objects.create(new_id("qu"), kind="queue", environment="main", name="q").object_id
    one = Op(TAKE, queue_id, b"", (), 1)
    carry_out(store, push(b"1", b"2", b"3", queue=queue_id))
    carry_out(store, one, one, id="io-1")
    carry_out(store, confirmed=("io-1",), returned={"io-1": [0]})
    assert carry_out(store, Op(TAKE, queue_id, b"", (), 9))[0].values == [Value(b"1"), Value(b"3")]


def test_nothing_goes_back_to_a_queue_that_was_deleted(store: Store) -> None:
    carry_out(store, push(b"1"), take(), id="io-1")
    store.items.carry_out([Forget(["io-1"])])
    assert length(store) == 0


# --- bounds


def test_a_partition_that_is_full_takes_all_or_none(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ionian.server.store.queue_items.ITEMS_MAX", 3)
    assert carry_out(store, push(b"1", b"2"), push(b"3", b"4"), push(b"3"), push(b"4")) == [
        Done(OK, 2),
        Done(FULL, 2),
        Done(OK, 3),
        Done(FULL, 3),
    ]
    assert carry_out(store, push(b"1", partition=b"p")) == [Done(OK, 1)]


def test_what_does_not_fit_into_an_answer_is_left_where_it_is(store: Store) -> None:
    large = bytes(2 << 20)
    for key in "abcde":
        carry_out(store, put(key, large), push(large))
    got = carry_out(store, *[on(POP, key) for key in "abcde"])
    assert [done.status for done in got] == [OK, OK, OK, OK, LATER]
    assert carry_out(store, on(HAS, "d"), on(HAS, "e")) == [Done(MISSING), Done(OK)]
    (taken,) = carry_out(store, take(9))
    assert (taken.number, len(taken.values)) == (1, 4)
    assert carry_out(store, on(GET, "e"), take()) == [
        Done(OK, 0, [Value(large)]),
        Done(OK, 0, [Value(large)]),
    ]


# --- what expires


def test_an_entry_expires_a_week_after_its_last_use(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    day_s, now = 86_400.0, time.time()
    carry_out(store, put("read", b"1"), put("not", b"2"))
    monkeypatch.setattr(time, "time", lambda: now + 5 * day_s)
    assert carry_out(store, on(GET, "read"))[0].status == OK
    monkeypatch.setattr(time, "time", lambda: now + 8 * day_s)
    got = carry_out(store, on(GET, "not"), Op(SIZE, "di-1"), put("not", b"3", ADD), on(GET, "read"))
    assert [(done.status, done.number) for done in got] == [(MISSING, 0), (OK, 1), (OK, 0), (OK, 0)]
    carry_out(store, on(POP, "not"), put("old", b"4"))
    assert store.old_items.delete_entries(now + 30 * day_s, 1)
    assert not store.old_items.delete_entries(now + 30 * day_s, 100)
    store.items.count_anew()
    assert carry_out(store, Op(SIZE, "di-1")) == [Done(OK, 0)]


def test_a_partition_expires_with_all_that_is_in_it(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    carry_out(store, push(b"1", b"2", keep_ms=1000), push(b"3", partition=b"p"))
    now = time.time()
    monkeypatch.setattr(time, "time", lambda: now + 2)
    assert length(store) == 0
    assert carry_out(store, Op(TOTAL, "qu-1"), take()) == [Done(OK, 1), Done(MISSING)]
    assert carry_out(store, push(b"4", keep_ms=1000)) == [Done(OK, 1)]
    assert carry_out(store, take(9))[0].values == [Value(b"4")]
    carry_out(store, push(b"5", keep_ms=1000))
    monkeypatch.setattr(time, "time", lambda: now + 9)
    while store.old_items.delete_partitions(now + 9, 1):
        pass
    assert carry_out(store, Op(TOTAL, "qu-1")) == [Done(OK, 1)]


def test_the_content_of_a_deleted_object_goes_in_steps(store: Store) -> None:
    carry_out(store, *[put(key, b"1") for key in "abc"], push(b"1", b"2"), push(b"3", partition=b"p"))
    steps = 0
    for object_id in ("di-1", "qu-1"):
        while store.old_items.delete_content(object_id, 2):
            steps += 1
    assert steps == 4
    assert carry_out(store, Op(SIZE, "di-1"), Op(TOTAL, "qu-1")) == [Done(OK, 0), Done(OK, 0)]


def test_blobs_of_values_are_no_garbage(store: Store) -> None:
    blobs = ["a" * 64, "b" * 64]
    values = [Value(f"{digest} 9".encode(), True) for digest in blobs]
    carry_out(
        store,
        Op(PUT, "di-1", digest("a") + b"a", values[:1]),
        Op(PUSH, "qu-1", b"", values[1:], HOUR_MS),
    )
    assert store.old_items.blobs() == set(blobs)


# --- looks


def test_entries_are_read_a_page_at_a_time(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ionian.server.store.item_reads.PAGE", 2)
    carry_out(store, *[put(key, key.upper().encode()) for key in "abcde"])
    seen: list[bytes] = []
    after, more = "", True
    while more:
        page = store.item_reads.entries("di-1", "items", after)
        assert page.rows <= 2
        seen += [value.data for value in page.values]
        after, more = page.after, page.more
    assert sorted(zip(seen[::2], seen[1::2], strict=True)) == [
        (key.encode(), key.upper().encode()) for key in "abcde"
    ]
    assert [value.data for value in store.item_reads.entries("di-1", "keys", "").values] == [b"a", b"b"]


def test_items_are_peeked_at_from_a_position_on(store: Store) -> None:
    carry_out(store, push(b"1", b"2", b"3"))
    first = store.item_reads.items("qu-1", b"", 0, 2)
    assert ([value.data for value in first.values], first.more) == ([b"1", b"2"], True)
    rest = store.item_reads.items("qu-1", b"", int(first.after), 2)
    assert ([value.data for value in rest.values], rest.more) == ([b"3"], False)
    assert length(store) == 3
    assert store.item_reads.size("qu-1") == (1, 3)


# --- on the wire


def test_operations_come_out_as_they_went_in() -> None:
    ops = [put("a", b"1"), on(GET, "b"), push(b"", b"22"), take(7), Op(EMPTY_ALL, "qu-2")]
    objects: list[str] = []
    payload = items.pack_ops(ops, objects)
    assert objects == ["di-1", "qu-1", "qu-2"]
    got = items.unpack_ops(payload, len(ops), objects)
    assert [(*op[:3], list(op.values), op.number) for op in got] == [
        (*op[:3], list(op.values), op.number) for op in ops
    ]


@pytest.mark.parametrize("cut", [0, 1, 20, 40])
def test_operations_that_are_cut_short_are_refused(cut: int) -> None:
    payload = items.pack_ops([put("a", b"1")], [])
    with pytest.raises(ValueError, match="expected"):
        items.unpack_ops(payload[:cut], 1, ["di-1"])
    with pytest.raises(ValueError, match="expected"):
        items.unpack_ops(payload, 1, [])
