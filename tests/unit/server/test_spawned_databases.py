"""Spawned calls on each kind of database, SQLite and a real PostgreSQL."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import pytest
from sqlalchemy import event
from tests.unit.server.spawning import TestWorker, World, in_world

from ionian.machine.state import StateFolder
from ionian.protocol.batch import LOST, OK, Batch
from ionian.protocol.calls import CancelCall, GetCallGraph, Spawn
from ionian.protocol.ids import input_id, new_id
from ionian.protocol.stream import Refused
from ionian.server.durable import reading
from ionian.server.store import Store, call_lists
from ionian.server.store.call_reads import Results
from ionian.server.store.calls import EndCall, NewInputs, NewResults


def new_inputs(call_id: str, start: int, *values: bytes, last: bool = True, made: float = 1.0) -> NewInputs:
    index = range(start, start + len(values))
    batch = Batch(call_id, list(index), [len(value) for value in values], b"".join(values))
    return NewInputs(call_id, "fu-1", "ap-1", "main", "f", "", made, batch, last, caller="cl-1")


def new_results(call_id: str, *rows: tuple[int, bytes]) -> NewResults:
    index, values = [row[0] for row in rows], [row[1] for row in rows]
    batch = Batch(call_id, index, [len(value) for value in values], b"".join(values))
    batch.code, batch.micros, batch.attempt = [OK] * len(rows), [1] * len(rows), [0] * len(rows)
    return NewResults(batch)


def test_inputs_are_kept_and_what_came_of_each_is_said(store: Store) -> None:
    call_id, other = new_id("fc"), new_id("fc")
    group = [
        new_inputs(call_id, 0, b"a", b"b", last=False, made=1.0),
        new_inputs(call_id, 2, b"c", made=2.0),
        new_inputs(call_id, 0, b"a", b"b", last=False, made=3.0),
        new_inputs(call_id, 3, b"d", made=4.0),
        new_inputs(other, 0, b"x", made=5.0),
    ]
    store.calls.write(group)
    assert [one.outcome for one in group] == ["new", "more", "known", "closed", "new"]
    again = [new_inputs(call_id, 0, b"a", b"b", last=False), new_inputs(call_id, 2, b"c")]
    foreign = new_inputs(other, 1, b"y")
    foreign.function_id = "fu-2"
    store.calls.write([*again, foreign])
    assert [one.outcome for one in (*again, foreign)] == ["known", "known", "foreign"]
    waiting = store.call_reads.waiting("fu-1", 0.0, 10)
    assert [(one.call.call_id, one.call.total, one.call.caller) for one in waiting] == [
        (call_id, 3, "cl-1"),
        (other, 1, "cl-1"),
    ]
    assert store.call_reads.waiting_inputs("fu-1") == 4
    assert store.call_reads.waiting_by_function(["fu-1", "fu-2"]) == {"fu-1": 4}
    batches = store.call_reads.inputs([(call_id, 0), (call_id, 2), (other, 0)])
    assert {key: batch.payloads() for key, batch in batches.items()} == {
        (call_id, 0): [b"a", b"b"],
        (call_id, 2): [b"c"],
        (other, 0): [b"x"],
    }


def test_a_call_is_finished_by_its_last_result_or_by_its_last_input(store: Store) -> None:
    first, second = new_id("fc"), new_id("fc")
    store.calls.write([new_inputs(first, 0, b"a", b"b"), new_inputs(second, 0, b"x", last=False, made=2.0)])
    store.calls.write([new_results(first, (1, b"B")), new_results(second, (0, b"X"))])
    assert store.call_reads.has_unfinished("ap-1")
    store.calls.write([new_results(first, (0, b"A")), new_inputs(second, 1)])
    assert not store.call_reads.has_unfinished("ap-1")
    found = store.call_reads.results(first, 0, 10, 1 << 20)
    assert found is not None
    assert found.batch is not None
    assert found.batch.payloads() == [b"A", b"B"]


def test_a_call_that_lacks_inputs_is_found_with_its_caller(store: Store) -> None:
    open_call, gap, whole = new_id("fc"), new_id("fc"), new_id("fc")
    store.calls.write(
        [
            new_inputs(open_call, 0, b"a", last=False, made=1.0),
            new_inputs(gap, 0, b"a", last=False, made=2.0),
            new_inputs(gap, 2, b"c", made=3.0),
            new_inputs(whole, 0, b"a", b"b", made=4.0),
        ]
    )
    found = {call.call_id: (call.caller, call.received) for call in store.call_reads.unsent()}
    assert found == {open_call: ("cl-1", 1), gap: ("cl-1", 2)}


def test_an_ended_call_keeps_its_results_and_all_else_of_it_has_the_failure(store: Store) -> None:
    call_id = new_id("fc")
    store.calls.write([new_inputs(call_id, 0, b"a", b"b", b"c")])
    store.calls.write([new_results(call_id, (1, b"B")), EndCall(call_id, b"why")])
    found = store.call_reads.results(call_id, 0, 10, 1 << 20)
    assert found is not None
    assert found.batch is not None
    assert found.batch.payloads() == [b"why", b"B", b"why"]
    assert list(found.batch.code) == [LOST, OK, LOST]


def test_results_are_read_for_many_who_ask_for_one_each(store: Store) -> None:
    single, waits, ended, several, unknown = (new_id("fc") for _ in range(5))
    store.calls.write(
        [
            new_inputs(single, 0, b"a", made=1.0),
            new_inputs(waits, 0, b"a", made=2.0),
            new_inputs(ended, 0, b"a", made=3.0),
            new_inputs(several, 0, b"a", b"b", made=4.0),
        ]
    )
    store.calls.write(
        [new_results(single, (0, b"A")), new_results(several, (1, b"B")), EndCall(ended, b"why")]
    )
    asked = [
        (several, 1),
        (single, 0),
        (waits, 0),
        (single, 1),
        (unknown, 0),
        (ended, 0),
        (several, 0),
        (single, 0),
    ]
    assert _told(store.call_reads.results_each(asked, 1 << 20)) == [
        b"B",
        b"A",
        None,
        None,
        "unknown",
        b"why",
        None,
        b"A",
    ]
    for call_id, index in asked:  # as if each were read alone
        assert _told(store.call_reads.results_each([(call_id, index)], 1 << 20)) == _told(
            [store.call_reads.results(call_id, index, 1, 1 << 20)]
        )


def test_calls_are_listed_newest_first_by_app_function_and_status(store: Store) -> None:
    done, pending, cancelled, method, elsewhere = (
        new_inputs(new_id("fc"), 0, b"a", made=float(n)) for n in range(5)
    )
    method.tag, method.app_id, elsewhere.environment = "f.m", "ap-2", "other"
    store.calls.write([done, pending, cancelled, method, elsewhere])
    store.calls.write(
        [new_results(done.call_id, (0, b"A")), EndCall(cancelled.call_id, b"why", cancelled=True)]
    )

    def listed(app_id: str = "", function: str = "", status: str = "", limit: int = 10) -> list[str]:
        return [call.call_id for call in store.call_lists.newest("main", app_id, function, status, limit)]

    of_main = [method.call_id, cancelled.call_id, pending.call_id, done.call_id]
    assert listed() == listed(function="f") == of_main
    assert listed(limit=2) == of_main[:2]
    assert listed("ap-2") == listed(function="f.m") == [method.call_id]
    assert listed(function="f_") == listed(function="%") == []
    assert listed(status="done") == [done.call_id]
    assert listed(status="cancelled") == [cancelled.call_id]
    assert listed("ap-1", "f", "pending") == [pending.call_id]


def test_lists_are_the_same_where_calls_are_many(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = [new_inputs(new_id("fc"), 0, b"a", made=float(n // 2 + 1)) for n in range(24)]
    for number, call in enumerate(calls):
        call.tag = ("f", "g.m", "g.n", "gg")[number % 4]
        call.app_id = f"ap-{1 + number % 3}"
        call.environment = "other" if number % 8 == 6 else "main"
    store.calls.write(calls)
    store.calls.write([new_results(call.call_id, (0, b"A")) for call in calls[::5]])
    store.calls.write([EndCall(call.call_id, b"why", cancelled=True) for call in calls[1::3]])
    lists = store.call_lists

    def pages(app_id: str, function: str, status: str) -> list[str]:
        found: list[str] = []
        before = (0.0, "")
        while page := lists.newest("main", app_id, function, status, 2, before):
            found += [call.call_id for call in page]
            before = (page[-1].created_at, page[-1].call_id)
        return found

    asked = [
        (app_id, function, status)
        for app_id in ("", "ap-1", "ap-2")
        for function in ("", "f", "g", "g.n", "gg", "none")
        for status in ("", "done", "pending", "cancelled")
    ]
    sorted_out = {one: pages(*one) for one in asked}
    assert {len(sorted_out["", function, ""]) for function in ("f", "g", "g.n", "gg")} == {6, 9, 3}
    assert len(sorted_out["", "", "cancelled"]) > len(sorted_out["", "f", "cancelled"]) > 0
    monkeypatch.setattr(call_lists, "FEW", 1)
    assert {one: pages(*one) for one in asked} == sorted_out


@pytest.mark.parametrize("function", ["", "f"])
def test_cancelled_calls_are_found_without_a_look_at_the_others(state: StateFolder, function: str) -> None:
    store = Store.open(state.database_url)
    asked: list[tuple[str, Any]] = []

    def executed(_: Any, __: Any, statement: str, values: Any, *___: Any) -> None:
        asked.append((statement, values))

    event.listen(store.database.engine, "before_cursor_execute", executed)
    store.call_lists.newest("main", "", function, "cancelled", 50)
    event.remove(store.database.engine, "before_cursor_execute", executed)
    statement, values = asked[-1]
    with store.database.transaction(writes=False) as connection:
        plan = [row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", values)]
    store.close()
    assert plan == ["SEARCH calls USING INDEX ix_calls_cancelled (environment=?)"]


def test_of_many_large_results_the_first_ones_are_read_and_one_at_least(store: Store) -> None:
    calls = [new_id("fc") for _ in range(4)]
    for made, call_id in enumerate(calls):
        store.calls.write([new_inputs(call_id, 0, b"a", made=float(made))])
    store.calls.write([new_results(call_id, (0, b"x" * 100)) for call_id in calls])
    asked = [(call_id, 0) for call_id in calls]
    assert [len(store.call_reads.results_each(asked, size)) for size in (1, 100, 250, 400)] == [1, 1, 2, 4]


def _told(found: list[Results | None]) -> list[bytes | str | None]:
    return [
        "unknown" if one is None else None if one.batch is None else one.batch.payloads()[0] for one in found
    ]


def test_old_results_go_in_the_order_in_which_their_calls_ended(store: Store) -> None:
    calls = [new_id("fc") for _ in range(4)]
    for number, call_id in enumerate(calls):
        store.calls.write([new_inputs(call_id, 0, b"x" * 100, made=float(number + 1))])
        store.calls.write([new_results(call_id, (0, b"y" * 100))])
    old = store.old_calls
    assert old.kept_bytes(0.0) == 800
    ended = old.ended(0.0, time.time() + 1, 10)
    assert [call_id for call_id, _ in ended] == calls
    while old.delete_payloads(calls[:2], 1):
        pass
    assert old.kept_bytes(0.0) == 400
    found = store.call_reads.results(calls[0], 0, 1, 1 << 20)
    assert found is not None
    assert found.expired
    assert old.delete_calls(ended[1][1], 10) == 2
    assert store.call_reads.find(calls[0]) is None
    assert store.call_reads.find(calls[2]) is not None


def test_a_whole_server_keeps_calls_over_its_restart(
    state: StateFolder, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "CALLS_READ", 4)

    async def before(world: World) -> tuple[list[str], TestWorker]:
        _, function_id = await world.function()
        worker = await world.worker()
        done = await world.client.spawn(function_id, b"done")
        await world.client.outputs(done)
        worker.hold = True
        singles = [await world.client.spawn(function_id, b"%d" % n) for n in range(20)]
        large = await world.client.spawn(function_id, *[b"%d" % n for n in range(50)], last=False)
        await world.client.spawn(function_id, *[b"x"] * 50, call_id=large, start=50)
        nested = await world.client.spawn(function_id, b"n", parent=input_id(done, 0))
        return [done, large, nested, *singles], worker

    calls, old = in_world(state, before, url)
    old.held.clear()  # it ended with its containers
    old.containers.clear()

    async def after(world: World) -> None:
        await world.worker(old)
        done, large, nested, *singles = calls
        old.ran.clear()
        for n, call_id in enumerate(singles):
            _, batch = await world.client.outputs(call_id)
            assert batch is not None
            assert batch.payloads() == [b"%d" % n]
        _, batch = await world.client.outputs(large, 99)
        assert batch is not None
        await world.client.outputs(nested)
        graph, _ = await world.client.request(GetCallGraph(done))
        assert [node.status for node in graph.inputs] == ["success", "success"]
        await world.server.retention.sweep(time.time(), keep_bytes=0)
        assert (await world.client.outputs(done))[0].expired

    in_world(state, after, url)


def test_cancelling_and_refusing_are_the_same_on_each(state: StateFolder, url: str) -> None:
    async def story(world: World) -> None:
        _, function_id = await world.function()
        worker = await world.worker(hold=True)
        call_id = await world.client.spawn(function_id, b"x", b"y")
        await worker.until(lambda: bool(worker.held))
        await world.client.request(CancelCall(call_id))
        _, batch = await world.client.outputs(call_id, 1)
        assert batch is not None
        assert list(batch.code) == [LOST]
        innocent = asyncio.ensure_future(world.client.spawn(function_id, b"z"))
        with pytest.raises(Refused, match="without NUL characters"):
            await world.client.request(Spawn(new_id("fc"), function_id, tag="a\0b"), b"")
        worker.let_go()
        assert (await world.client.outputs(await innocent))[1] is not None

    in_world(state, story, url)
