"""Workers that vanish and come back, and the first seconds after a start of the server."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ionian.core.actions import ConfirmResults, Run, Start, Stop, Take
from ionian.protocol.batch import DONE, ERROR, OK, YIELD
from ionian.protocol.spec import Resources, RetryPolicy, Scaling
from ionian.protocol.workers import Capacity, Held, Running

from .rig import CALL, CLIENT, OTHER, WORKER, Rig

ROOM = Capacity(4000, 4096)


def running(number: int, *indexes: int, attempt: int = 1, ready: bool = True) -> Running:
    held = [Held(CALL, list(indexes), [attempt] * len(indexes))] if indexes else []
    return Running(number, f"ta-{number}", "fu-1", "ap-1", ready, held)


def test_a_worker_out_of_reach_keeps_its_inputs_for_a_minute() -> None:
    rig = Rig()
    rig.warm()
    rig.put(1)
    rig.join(ROOM, worker="wo-2")
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.actions.clear()
    rig.wait(59.0)
    assert rig.get(Start) == []
    rig.wait(2.0)
    (start,) = rig.get(Start)
    assert start.worker_id == "wo-2"


def test_what_waits_does_not_wait_for_a_worker_that_is_out_of_reach() -> None:
    rig = Rig(scaling=Scaling(max_containers=4))
    rig.warm()
    rig.join(ROOM, worker="wo-2")
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.put(1, 2)
    rig.actions.clear()
    rig.wait(0.9)
    assert rig.get(Start) == [], "it may be there again in a moment"
    rig.wait(0.2)
    assert {start.worker_id for start in rig.get(Start)} == {"wo-2"}


def test_after_a_failed_start_the_next_one_does_not_wait_for_a_start_that_is_out_of_reach() -> None:
    rig = Rig(scaling=Scaling(max_containers=4))
    rig.open()
    rig.put(1)
    (start,) = rig.get(Start)
    rig.ended(start.number, "start")
    rig.wait(0.3)
    (again,) = rig.get(Start)  # it is tried again, alone
    rig.join(ROOM, worker="wo-2")
    rig.dispatcher.worker_gone(rig.now, again.worker_id)
    rig.wait(3.0)
    assert [start.worker_id for start in rig.get(Start)] == ["wo-2"]


def test_the_inputs_of_a_dead_worker_run_elsewhere_at_once() -> None:
    rig = Rig()
    rig.warm()
    rig.put(1)
    rig.join(ROOM, worker="wo-2")
    rig.dispatcher.worker_gone(rig.now, WORKER, dead=True)
    rig.after()
    rig.wait(0.1)
    assert [start.worker_id for start in rig.get(Start)] == ["wo-2"]


def test_a_worker_that_comes_back_gets_again_what_was_lost_on_the_way() -> None:
    rig = Rig()
    number = rig.warm(micros=400)
    rig.put(1, 2)
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.actions.clear()
    first = rig.dispatcher.core.first_attempt
    rig.join(ROOM, [running(number, 1, attempt=first)])
    rig.wait(1.0)
    rig.taken_back(number)  # it seemed to be a straggler
    rig.results(number, 1)
    (run,) = rig.get(Run)
    assert (run.batch.container, list(run.batch.index), list(run.batch.attempt)) == (number, [2], [first + 1])


def test_a_result_that_follows_the_inventory_is_not_run_again() -> None:
    rig = Rig()
    number = rig.warm(micros=400)
    rig.put(1, 2)
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.actions.clear()
    rig.join(ROOM, [running(number)])
    rig.results(number, 1, 2)
    rig.wait(10.0)
    assert rig.get(Run) == []
    assert rig.outputs() == [(1, OK), (2, OK)]


def test_a_confirmation_from_an_earlier_epoch_confirms_nothing() -> None:
    rig = Rig()
    rig.warm()
    rig.dispatcher.confirm(rig.now, CLIENT, 500)
    rig.after()
    assert rig.get(ConfirmResults) == []


def test_a_start_that_was_lost_on_the_way_is_made_again() -> None:
    rig = Rig()
    rig.open()
    rig.put(0)
    (lost,) = rig.get(Start)
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.join(ROOM, [])
    rig.wait(0.1)
    (start,) = rig.get(Start)
    assert start.number != lost.number


def test_what_ran_elsewhere_meanwhile_is_stopped_when_its_worker_comes_back() -> None:
    rig = Rig()
    number = rig.warm()
    rig.put(1)
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.wait(61.0)
    rig.join(ROOM, worker="wo-2")
    rig.wait(0.1)
    assert [start.worker_id for start in rig.get(Start)] == ["wo-2"]
    second = next(iter(rig.dispatcher.core.workers["wo-2"].containers.values()))
    rig.dispatcher.fleet.ready(rig.now, second)
    rig.after()
    rig.actions.clear()
    rig.join(ROOM, [running(number, 1, attempt=rig.dispatcher.core.first_attempt)])
    (stop,) = rig.get(Stop)
    assert (stop.worker_id, stop.number, stop.grace_s) == (WORKER, number, 0.0)
    rig.results(number, 1)
    assert rig.outputs() == []


def test_what_still_waits_goes_on_in_the_container_that_comes_back() -> None:
    rig = Rig()
    number = rig.warm()
    rig.put(1)
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.wait(61.0)
    rig.actions.clear()
    rig.join(ROOM, [running(number, 1, attempt=rig.dispatcher.core.first_attempt)])
    assert rig.get(Stop) == []
    rig.results(number, 1)
    assert rig.outputs() == [(1, OK)]


def test_after_a_start_resent_inputs_wait_for_the_inventories() -> None:
    rig = Rig(epoch=2, known_workers={WORKER, "wo-2", "wo-3"})
    rig.open(resumed=True)
    rig.put(0)
    assert rig.get(Start) == []
    rig.join(ROOM, worker="wo-2")
    rig.wait(1.0)
    assert rig.get(Start) == []
    rig.wait(9.5)
    assert len(rig.get(Start)) == 1


def test_after_a_start_a_running_input_is_attached_before_or_after_it_is_sent_again() -> None:
    for early in (True, False):
        rig = Rig(epoch=2, known_workers={WORKER}, join=False)
        if early:
            rig.join(ROOM, [running(5, 0)])
        rig.open(resumed=True)
        rig.put(0)
        if not early:
            rig.join(ROOM, [running(5, 0)])
        rig.wait(1.0)
        assert rig.runs() == []
        rig.results(5, 0, attempt=1)
        assert rig.outputs() == [(0, OK)]


def test_a_result_from_before_the_start_waits_for_its_call() -> None:
    rig = Rig(epoch=2, known_workers={WORKER})
    rig.results(5, 0, attempt=1)
    assert rig.get(ConfirmResults) == []
    rig.open(resumed=True)
    assert rig.outputs() == [(0, OK)]
    assert rig.put(0) == 0


def test_a_result_for_which_nobody_comes_is_let_go_after_a_minute() -> None:
    rig = Rig(epoch=2, known_workers={WORKER})
    rig.results(5, 0, attempt=1)
    rig.wait(61.0)
    assert [confirm.seqs for confirm in rig.get(ConfirmResults)] == [[1]]


def test_a_container_that_runs_for_nobody_is_stopped_after_a_minute() -> None:
    rig = Rig(epoch=2, known_workers={WORKER}, join=False)
    rig.join(ROOM, [running(5, 0)])
    rig.wait(61.0)
    assert [stop.number for stop in rig.get(Stop)] == [5]


def test_an_attached_input_whose_container_dies_waits_for_its_payload() -> None:
    rig = Rig(epoch=2, known_workers={WORKER}, join=False)
    rig.join(ROOM, [running(5, 0)])
    rig.open(resumed=True)
    rig.ended(5, "stopped", running=[0])
    assert rig.put(0) == 1


def test_containers_of_unknown_functions_are_stopped() -> None:
    rig = Rig(join=False)
    unknown = running(5)
    unknown.function_id = "fu-gone"
    rig.join(ROOM, [unknown])
    assert [stop.number for stop in rig.get(Stop)] == [5]


def test_numbers_of_containers_and_attempts_grow_with_the_epoch() -> None:
    one, two = Rig(), Rig(epoch=2)
    for rig in (one, two):
        rig.open()
        rig.put(0)
    assert one.get(Start)[0].number < two.get(Start)[0].number
    assert one.dispatcher.core.first_attempt < two.dispatcher.core.first_attempt


def test_a_caller_that_was_given_up_and_comes_back_has_its_call_anew_although_something_of_it_runs_still() -> (
    None
):
    rig = Rig(scaling=Scaling(max_containers=4))
    number = rig.warm(micros=80_000)
    rig.put(1)
    rig.dispatcher.caller_gone(rig.now, CLIENT)
    rig.wait(61.0)  # its call was cancelled; the input cleans up
    rig.dispatcher.caller_back(rig.now, CLIENT)
    rig.open(resumed=True)
    assert rig.put(1, 2) == 2
    assert [stop.number for stop in rig.get(Stop)] == [number]
    rig.ended(number, "stopped")
    (fresh,) = rig.start_all()
    (run,) = [run.batch for run in rig.get(Run) if run.batch.container == fresh]
    rig.results(fresh, 1, attempt=run.attempt[list(run.index).index(1)])
    assert rig.outputs() == [(1, OK)]


def test_a_caller_that_was_given_up_has_all_its_calls_anew_of_which_something_runs_still() -> None:
    rig = Rig(scaling=Scaling(min_containers=2))
    rig.warm_two(micros=80_000)
    rig.open(OTHER)
    rig.put(2)
    rig.put(2, call=OTHER)
    assert len(rig.runs()) == 2
    rig.dispatcher.caller_gone(rig.now, CLIENT)
    rig.wait(61.0)  # both were cancelled, and clean up
    rig.dispatcher.caller_back(rig.now, CLIENT)
    for call in (CALL, OTHER):
        rig.open(call, resumed=True)
        assert rig.put(2, call=call) == 1


def test_of_a_generator_whose_items_were_let_go_the_end_is_not_taken_either() -> None:
    rig = Rig(epoch=2, known_workers={WORKER}, join=False)
    rig.join(ROOM, [running(7, 1)])
    items = rig.results(7, 1, code=YIELD, attempt=1)
    rig.wait(61.0)  # nobody came for its call
    assert items in rig.confirmed()
    end = rig.results(7, 1, code=DONE, attempt=1)  # the container was stopped, but this was on its way
    assert end in rig.confirmed()
    rig.open(resumed=True)
    assert rig.put(1) == 1
    late = rig.results(7, 1, code=DONE, attempt=1)
    assert late in rig.confirmed()
    assert rig.outputs() == []
    rig.ended(7, "stopped")
    (fresh,) = rig.start_all()
    rig.results(fresh, 1, code=YIELD)
    rig.results(fresh, 1, code=DONE)
    assert rig.outputs() == [(1, YIELD), (1, DONE)]


def test_a_worker_that_comes_late_does_not_bring_back_what_was_let_go() -> None:
    rig = Rig(epoch=2, known_workers={WORKER, "wo-2"}, join=False)
    rig.join(ROOM, [running(7, 1)])
    rig.wait(61.0)  # nobody came for its call
    rig.open(resumed=True)
    rig.dispatcher.worker_joined(rig.now, "wo-2", ROOM, [running(9, 1)])
    rig.after()
    assert 9 in [stop.number for stop in rig.get(Stop)]
    assert rig.put(1) == 1


def test_of_a_call_that_was_given_up_nothing_counts_that_ran_before_it_was_made_anew() -> None:
    rig = Rig(scaling=Scaling(max_containers=4))
    number = rig.warm(micros=80_000)
    rig.put(1)
    before = rig.dispatcher.core.first_attempt
    rig.results(number, 1, code=YIELD)
    rig.dispatcher.caller_gone(rig.now, CLIENT)
    rig.wait(61.0)  # its call was cancelled; the input cleans up, and its items were let go
    rig.dispatcher.caller_back(rig.now, CLIENT)
    rig.open(resumed=True)
    assert rig.put(1) == 1
    rig.actions.clear()
    rig.results(number, 1, code=DONE, attempt=before)
    assert rig.outputs() == []


def test_a_call_that_is_made_anew_numbers_its_attempts_behind_all_that_were_made() -> None:
    rig = Rig(retries=RetryPolicy(3), scaling=Scaling(max_containers=4))
    number = rig.warm(micros=80_000)
    rig.put(1)
    rig.results(number, 1, code=ERROR)
    rig.wait(2.0)  # it is tried again
    tried = max(max(run.batch.attempt) for run in rig.get(Run))
    rig.dispatcher.caller_gone(rig.now, CLIENT)
    rig.wait(61.0)
    rig.dispatcher.caller_back(rig.now, CLIENT)
    rig.open(resumed=True)
    rig.put(1)
    rig.ended(number, "stopped")
    rig.start_all()
    assert [list(run.batch.attempt) for run in rig.get(Run)] == [[tried + 1]]


def test_the_room_of_a_container_that_nobody_knows_is_free_once_it_has_ended() -> None:
    rig = Rig(resources=Resources(cpu_milli=3000, memory_mib=1024), join=False)
    unknown = Running(7, "ta-7", "fu-gone", "ap-2", ready=True, cpu_milli=2000, memory_mib=128)
    rig.join(ROOM, [unknown])
    assert [stop.number for stop in rig.get(Stop)] == [7]
    rig.open()
    rig.put(0)
    rig.wait(1.0)
    assert rig.get(Start) == []
    rig.ended(7, "stopped")
    rig.wait(1.0)
    assert len(rig.get(Start)) == 1


def test_a_container_from_before_a_start_has_what_its_worker_says_whatever_its_function_asks_now() -> None:
    rig = Rig(
        epoch=2,
        known_workers={WORKER},
        resources=Resources(cpu_milli=1000, memory_mib=128),
        scaling=Scaling(min_containers=4),
        join=False,
    )
    larger = Running(7, "ta-7", "fu-1", "ap-1", ready=True, cpu_milli=3000, memory_mib=128)
    rig.join(ROOM, [larger])
    rig.wait(1.0)
    assert len(rig.get(Start)) == 1


@pytest.mark.parametrize("recreate", [True, False])
def test_containers_of_an_older_version_end_after_a_start_as_the_deploy_would_have_ended_them(
    recreate: bool,
) -> None:
    rig = Rig(epoch=2, known_workers={WORKER}, join=False)
    spec = rig.dispatcher.core.functions["fu-1"].spec
    rig.dispatcher.add_function(rig.now, replace(spec, version=2, recreate=recreate), "ap-1", "main")
    rig.open(resumed=True)
    rig.put(0)
    rig.join(ROOM, [running(5, 0)])
    stops = [(stop.number, stop.grace_s) for stop in rig.get(Stop)]
    if recreate:
        assert stops == [(5, 0.0)]
    else:
        assert [grace for _, grace in stops if not grace] == []
        rig.results(5, 0, attempt=1)
        assert rig.outputs() == [(0, OK)]


def test_after_a_start_an_input_does_not_wait_for_a_container_whose_call_nobody_has_opened_again() -> None:
    rig = Rig(epoch=2, known_workers={WORKER}, scaling=Scaling(max_containers=4), join=False)
    rig.join(ROOM, [running(7, 5)])
    rig.wait(1.0)
    rig.open(OTHER)
    rig.put(0, call=OTHER)
    rig.wait(0.5)
    assert len(rig.get(Start)) == 1


def test_after_a_start_an_input_that_two_workers_have_goes_on_where_it_was_first_heard_of() -> None:
    rig = Rig(epoch=2, known_workers={"wo-1", "wo-2"}, scaling=Scaling(), join=False)
    for number in (1, 2):  # the first was given up, and its input run elsewhere, before the server was killed
        held = [Held(CALL, [5], [number])]
        rig.join(
            Capacity(4000, 4096),
            [Running(number, f"ta-{number}", "fu-1", "ap-1", True, held)],
            f"wo-{number}",
        )
    assert [(stop.worker_id, stop.number) for stop in rig.get(Stop)] == [("wo-2", 2)]
    rig.open(resumed=True)
    rig.put(5)
    rig.wait(20.0)
    rig.results(2, 5, attempt=2, worker="wo-2")
    assert rig.outputs() == [], "there it is not wanted any more"
    rig.results(1, 5, attempt=1, worker="wo-1")
    assert rig.outputs() == [(5, OK)]
    assert rig.runs() == []


def test_what_waits_behind_a_slow_input_is_asked_back_although_its_worker_was_away_when_that_was_due() -> (
    None
):
    rig = Rig()
    number = rig.warm(micros=2)
    rig.put(1, 2, 3)
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.wait(0.1)
    assert rig.get(Take) == []
    rig.join(ROOM, [running(number, 1, 2, 3)])
    rig.wait(0.1)
    assert [take.number for take in rig.get(Take)] == [number]


def test_an_input_is_not_run_again_while_results_are_on_their_way_behind_an_inventory() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(1)
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.actions.clear()
    rig.dispatcher.worker_joined(rig.now, WORKER, ROOM, [running(number)], follows=2)
    rig.after()
    rig.wait(20.0)  # large ones, on a slow line
    assert rig.runs() == []
    rig.results(number, 0, seq=1)
    assert rig.runs() == []
    rig.results(number, 1)
    assert rig.outputs() == [(1, OK)]
    rig.wait(1.0)
    assert rig.runs() == []


def test_what_no_result_followed_for_is_run_when_all_that_follow_are_here() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(1)
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.actions.clear()
    rig.dispatcher.worker_joined(rig.now, WORKER, ROOM, [running(number)], follows=1)
    rig.after()
    rig.wait(20.0)
    assert rig.runs() == []
    rig.results(number, 0, seq=1)
    assert rig.runs() == [(number, [1])]
