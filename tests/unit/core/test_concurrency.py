"""Containers with several inputs at once, and with batches."""

from __future__ import annotations

from ionian.core.actions import Run, Start, Stop, Take
from ionian.protocol.batch import OK
from ionian.protocol.spec import Batching, Concurrency, Scaling
from ionian.protocol.workers import ContainerState, Held

from .rig import CALL, OTHER, Rig


def outstanding(rig: Rig) -> list[int]:
    return sorted(c.outstanding for c in rig.dispatcher.core.functions["fu-1"].containers)


def test_a_container_is_given_as_many_inputs_as_it_runs_at_once() -> None:
    rig = Rig(concurrency=Concurrency(4))
    rig.open()
    rig.put(*range(10))
    (number,) = rig.start_all()
    assert sum(len(rows) for _, rows in rig.runs()) == 4
    rig.results(number, 1, 3)
    assert sum(len(rows) for _, rows in rig.runs()) == 2
    assert outstanding(rig) == [4]


def test_inputs_are_spread_over_containers() -> None:
    rig = Rig(concurrency=Concurrency(10), scaling=Scaling(min_containers=2, max_containers=2))
    rig.start_all()
    rig.open()
    for index in range(6):
        rig.put(index)
    assert outstanding(rig) == [3, 3]


def test_the_autoscaler_aims_at_the_target_and_bursts_to_the_maximum() -> None:
    rig = Rig(concurrency=Concurrency(10, target_inputs=2), scaling=Scaling())
    rig.open()
    rig.put(0)
    (number,) = rig.start_all()
    rig.put(*range(1, 8))
    assert outstanding(rig) == [8], "until others are there, it takes them all"
    rig.wait(0.1)
    assert len(rig.get(Start)) == 3
    stats = rig.dispatcher.stats("fu-1")
    assert stats is not None
    assert (stats.backlog, stats.running_inputs, stats.containers, stats.input_headroom) == (0, 8, 4, 2)
    assert number


def test_nothing_is_taken_back_from_a_container_that_runs_all_it_has() -> None:
    rig = Rig(concurrency=Concurrency(4))
    rig.open()
    rig.put(*range(4))
    rig.start_all()
    rig.wait(10.0)
    assert rig.get(Take) == []


def test_one_batch_runs_while_the_next_collects() -> None:
    rig = Rig(batching=Batching(5, 100))
    rig.open()
    rig.put(*range(30))
    (number,) = rig.start_all()
    assert sum(len(rows) for _, rows in rig.runs()) == 10
    rig.results(number, *range(5))
    assert sum(len(rows) for _, rows in rig.runs()) == 5


def test_single_inputs_gather_in_one_container_until_its_batch_is_full() -> None:
    rig = Rig(batching=Batching(3, 100), scaling=Scaling(min_containers=2, max_containers=2))
    rig.start_all()
    rig.open()
    for index in range(6):
        rig.put(index)
    assert outstanding(rig) == [3, 3]


def test_a_batch_that_waits_behind_a_slow_one_runs_in_a_container_that_is_idle() -> None:
    rig = Rig(batching=Batching(4, 100), scaling=Scaling())
    rig.open()
    rig.put(*range(8))
    one, two = [start.number for start in rig.get(Start)]
    rig.ready(one)
    assert rig.runs() == [(one, list(range(8)))]
    rig.ready(two)
    rig.wait(0.5)
    assert [take.number for take in rig.get(Take)] == [one]
    rig.taken_back(one, 4, 5, 6, 7)
    assert rig.runs() == [(two, [4, 5, 6, 7])]


def test_a_batch_that_still_gathers_is_not_asked_back() -> None:
    rig = Rig(batching=Batching(4, 5_000), scaling=Scaling(min_containers=2, max_containers=2))
    rig.open()
    rig.start_all()
    for index in range(3):
        rig.put(index)
        rig.wait(1.0)
    rig.put(3)
    rig.wait(0.02)
    assert outstanding(rig) == [0, 4]
    assert rig.get(Take) == []


def test_a_batch_that_claims_slowly_gets_back_what_was_taken_from_it() -> None:
    rig = Rig(batching=Batching(4, 60_000), scaling=Scaling(max_containers=1))
    rig.open()
    rig.put(*range(5))
    (one,) = rig.start_all()
    rig.wait(0.1)
    assert [take.number for take in rig.get(Take)] == [one]
    rig.runs()
    rig.taken_back(one, 1, 2, 3, 4)
    assert rig.runs() == [(one, [1, 2, 3, 4])], "it would wait a minute for the rest of its batch"


def test_an_input_behind_a_batch_that_began_short_gets_a_container_of_its_own() -> None:
    rig = Rig(batching=Batching(4, 100), scaling=Scaling())
    rig.open()
    rig.put(0)
    (one,) = rig.start_all()
    rig.wait(10.0)
    rig.put(1)
    assert rig.runs() == [(one, [0]), (one, [1])], "it may be in time for the batch"
    rig.wait(0.1)
    assert [take.number for take in rig.get(Take)] == [one]
    rig.taken_back(one, 1)
    rig.wait(0.1)
    (two,) = rig.start_all()
    assert rig.runs() == [(two, [1])]


def test_the_autoscaler_counts_whole_batches() -> None:
    rig = Rig(batching=Batching(10, 100), scaling=Scaling())
    rig.open()
    rig.put(*range(35))
    rig.wait(0.1)
    assert len(rig.get(Start)) == 4


def test_of_several_that_ran_in_a_container_that_died_none_is_blamed_and_each_runs_alone() -> None:
    rig = Rig(concurrency=Concurrency(4))
    rig.open()
    rig.put(*range(3))
    (number,) = rig.start_all()
    rig.actions.clear()
    rig.ended(number, "signal", running=[0, 1, 2])
    rig.put(3, 4)
    rig.wait(1.0)
    (number,) = rig.start_all()
    done: list[int] = []
    for _ in range(5):
        runs = [run for run in rig.get(Run) if run.batch.container == number]
        rows = [
            (index, attempt)
            for r in runs
            for index, attempt in zip(r.batch.index, r.batch.attempt, strict=True)
        ]
        for index, attempt in rows:
            if index < 3:
                assert len(rows) == 1, "a suspect has company"
            rig.results(number, index, attempt=attempt)
            done.append(index)
    assert sorted(done) == [0, 1, 2, 3, 4]
    assert sorted(rig.outputs()) == [(index, OK) for index in range(5)]


def test_the_one_that_kills_its_container_alone_is_found() -> None:
    rig = Rig(concurrency=Concurrency(4))
    rig.open()
    rig.put(0, 1)
    (number,) = rig.start_all()
    rig.ended(number, "signal", running=[0, 1])
    for _ in range(10):
        rig.wait(2.0)
        for start in rig.get(Start):
            rig.ready(start.number)
        for run in rig.get(Run):
            if run.batch.index[0] == 0 and len(run.batch.index) == 1:
                rig.ended(run.batch.container, "signal", running=[0])
            elif run.batch.container in {c.number for c in rig.dispatcher.core.functions["fu-1"].containers}:
                rig.results(run.batch.container, *run.batch.index, attempt=run.batch.attempt[0])
    failures = rig.failures()
    assert list(failures) == [0]


def test_a_timeout_ends_only_the_first_that_ran() -> None:
    rig = Rig(concurrency=Concurrency(4))
    rig.open()
    rig.put(0, 1, 2)
    (number,) = rig.start_all()
    rig.actions.clear()
    rig.ended(number, "timeout", running=[1, 0, 2])
    assert list(rig.failures()) == [1]
    rig.wait(1.0)
    rig.start_all()
    assert sorted(index for _, rows in rig.runs() for index in rows) == [0, 2]


def test_cancelled_inputs_leave_their_neighbours_alone() -> None:
    rig = Rig(concurrency=Concurrency(4))
    rig.open()
    rig.open(OTHER)
    rig.put(0, 1)
    rig.put(0, call=OTHER)
    (number,) = rig.start_all()
    rig.dispatcher.cancel_call(rig.now, CALL)
    rig.after()
    assert rig.get(Stop) == []
    rig.results(number, 0, 1)
    rig.results(number, 0, call=OTHER)
    assert rig.outputs() == [(0, OK)]
    assert CALL not in rig.dispatcher.core.calls


def test_terminated_containers_give_their_neighbours_back_uncounted() -> None:
    rig = Rig(concurrency=Concurrency(4))
    rig.open()
    rig.open(OTHER)
    rig.put(0)
    rig.put(0, call=OTHER)
    (number,) = rig.start_all()
    rig.dispatcher.cancel_call(rig.now, CALL, terminate=True)
    rig.after()
    assert [(stop.number, stop.grace_s) for stop in rig.get(Stop)] == [(number, 0.0)]
    rig.actions.clear()
    running = [Held(CALL, [0], [1]), Held(OTHER, [0], [1])]
    rig.dispatcher.container_state(
        rig.now, "wo-1", ContainerState(number, "ended", "stopped", running=running)
    )
    rig.after()
    rig.wait(0.1)
    rig.start_all()
    assert [run.batch.call_id for run in rig.get(Run)] == [OTHER]
    assert rig.dispatcher.core.calls[OTHER].deaths == {}
