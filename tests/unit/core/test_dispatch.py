"""Inputs to containers, and results back."""

from __future__ import annotations

from ionian.core.actions import Cancel, ConfirmResults, Deliver, Run, Start, Stop, Take
from ionian.protocol.batch import DONE, ERROR, LOST, OK, YIELD
from ionian.protocol.spec import Scaling

from .rig import CALL, CLIENT, OTHER, Rig


def test_the_first_input_starts_a_container_and_runs_when_it_is_ready() -> None:
    rig = Rig()
    rig.open()
    rig.put(0)
    (start,) = rig.get(Start)
    assert rig.runs() == []
    rig.ready(start.number)
    assert rig.runs() == [(start.number, [0])]


def test_a_container_of_unknown_pace_is_given_one_input() -> None:
    rig = Rig()
    rig.open()
    rig.put(*range(10))
    (number,) = rig.start_all()
    assert rig.runs() == [(number, [0])]


def test_a_quick_function_is_given_whole_batches_ahead() -> None:
    rig = Rig()
    number = rig.warm(micros=2)
    rig.put(*range(1, 501))
    sizes = [len(rows) for _, rows in rig.runs()]
    assert sizes == [64, 64, 64, 64]
    rig.results(number, *range(1, 65), micros=2)
    assert [len(rows) for _, rows in rig.runs()] == [64]


def test_a_slow_function_gets_no_work_ahead() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(*range(1, 10))
    assert rig.runs() == [(number, [1])]


def test_a_run_batch_is_bounded_by_bytes_but_a_large_input_goes_alone() -> None:
    rig = Rig()
    rig.warm(micros=2)
    rig.put(*range(1, 11), size=30_000)
    assert all(len(rows) <= 2 for _, rows in rig.runs())
    rig = Rig()
    rig.warm(micros=2)
    rig.put(1, size=1_000_000)
    assert [rows for _, rows in rig.runs()] == [[1]]


def test_calls_of_a_function_are_served_in_turn() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(1, 2, 3)
    rig.open(OTHER)
    rig.put(0, 1, call=OTHER)
    order = [(run.batch.call_id, list(run.batch.index)) for run in rig.get(Run)]
    for _ in range(3):
        call, (index,) = order[-1]
        rig.results(number, index, call=call, micros=80_000)
        order += [(run.batch.call_id, list(run.batch.index)) for run in rig.get(Run)]
    assert order == [(CALL, [1]), (CALL, [2]), (OTHER, [0]), (CALL, [3])]


def test_a_short_queue_is_split_over_ready_containers() -> None:
    rig = Rig(scaling=Scaling(min_containers=2, max_containers=2))
    rig.warm_two()
    rig.put(2, 3, 4, 5)
    assert sorted(len(rows) for _, rows in rig.runs()) == [2, 2]


def test_inputs_sent_again_are_ignored() -> None:
    rig = Rig()
    rig.open()
    assert rig.put(0, 1, 2) == 3
    assert rig.put(1, 2, 3) == 1
    assert rig.put(0, 1, 2, 3) == 0


def test_results_are_delivered_as_they_came_under_the_callers_numbers() -> None:
    rig = Rig()
    number = rig.warm(micros=2)
    rig.put(1, 2, 3)
    rig.results(number, 1, 2, 3)
    (deliver,) = rig.get(Deliver)
    assert deliver.caller == CLIENT
    assert (deliver.batch.seq, deliver.batch.container, list(deliver.batch.index)) == (2, 0, [1, 2, 3])
    assert deliver.batch.payload == b"rrr"


def test_a_worker_hears_of_a_batch_only_when_the_caller_has_it() -> None:
    rig = Rig()
    number = rig.warm()
    rig.put(1)
    seq = rig.results(number, 1)
    assert rig.get(ConfirmResults) == []
    rig.dispatcher.confirm(rig.now, CLIENT, 2)
    rig.after()
    (confirm,) = rig.get(ConfirmResults)
    assert confirm.seqs == [1, seq]


def test_a_batch_offered_again_is_neither_delivered_nor_confirmed_before_the_caller_has_it() -> None:
    rig = Rig()
    number = rig.warm()
    rig.put(1)
    seq = rig.results(number, 1)
    rig.actions.clear()
    rig.results(number, 1, seq=seq)
    assert rig.actions == []


def test_a_result_of_an_older_attempt_is_dropped_and_counted() -> None:
    rig = Rig()
    number = rig.warm()
    rig.put(1)
    rig.ended(number, "stopped", unclaimed=[1])
    rig.wait(0.1)
    (second,) = rig.start_all()
    rig.actions.clear()
    rig.results(second, 1)
    assert rig.outputs() == []
    assert rig.dispatcher.core.stale == 1
    assert len(rig.get(ConfirmResults)) == 1
    rig.results(second, 1, attempt=rig.dispatcher.core.first_attempt + 1)
    assert rig.outputs() == [(1, OK)]


def test_items_of_a_generator_pass_and_only_its_end_ends_it() -> None:
    rig = Rig()
    number = rig.warm()
    rig.put(1)
    rig.results(number, 1, code=YIELD)
    state = rig.dispatcher.state_of("fu-1")
    assert state is not None
    assert state.running == 1
    rig.results(number, 1, code=DONE)
    assert rig.outputs() == [(1, YIELD), (1, DONE)]
    assert rig.dispatcher.state_of("fu-1").running == 0  # type: ignore[union-attr]


def test_a_straggler_gives_back_what_it_has_not_claimed() -> None:
    rig = Rig(scaling=Scaling(min_containers=2, max_containers=2))
    one, two = rig.warm_two(micros=100)
    rig.put(*range(2, 42))
    given = dict(rig.runs())
    rig.results(two, *given[two], micros=100)
    rig.wait(0.05)
    (take,) = rig.get(Take)
    assert take.number == one
    rig.taken_back(one, *given[one][1:])
    assert [number for number, _ in rig.runs()] == [two]
    rig.put(*range(50, 80))
    assert all(number == two for number, _ in rig.runs()), "nothing more until its input has ended"
    rig.results(one, given[one][0], micros=2_000_000)
    rig.put(90)
    assert rig.dispatcher.state_of("fu-1").running > 0  # type: ignore[union-attr]


def test_inputs_that_wait_for_each_other_run_at_once_although_one_container_had_claimed_all_of_them() -> None:
    rig = Rig(scaling=Scaling(max_containers=4))
    first = rig.warm(micros=100)
    rig.put(1, 2, 3)
    assert rig.runs() == [(first, [1, 2, 3])], "quick ones, as far as is known"
    rig.wait(0.05)
    assert [take.number for take in rig.get(Take)] == [first]
    rig.taken_back(first)
    rig.taken_back(first, 2, 3)  # claimed, and not begun: that comes behind the answer
    rig.wait(2.0)
    second, third = rig.start_all()
    assert rig.runs() == [(second, [2, 3])]
    rig.wait(0.1)
    assert [take.number for take in rig.get(Take)] == [second]
    rig.taken_back(second)
    rig.taken_back(second, 3)
    assert rig.runs() == [(third, [3])]


def test_what_waits_behind_the_next_slow_input_is_asked_for_again() -> None:
    rig = Rig(scaling=Scaling(min_containers=2, max_containers=2))
    one, _ = rig.warm_two(micros=100)
    rig.put(2, 3, 4, 5, 6, 7)
    assert dict(rig.runs())[one] == [2, 3, 4]
    rig.wait(0.05)
    rig.get(Take)
    rig.taken_back(one)  # it runs what no signal reaches
    rig.results(one, 2, micros=1_000_000)
    rig.wait(0.05)
    assert one in [take.number for take in rig.get(Take)]


def test_what_waits_is_asked_for_again_when_what_ended_before_it_was_of_a_closed_call() -> None:
    rig = Rig()
    number = rig.warm(micros=2)
    rig.open(OTHER)
    rig.put(0, call=OTHER)
    rig.put(1, 2, 3)
    rig.wait(0.1)
    rig.taken_back(number)
    rig.dispatcher.close_call(rig.now, OTHER)
    rig.results(number, 0, call=OTHER)
    rig.actions.clear()
    rig.wait(0.1)
    assert [take.number for take in rig.get(Take)] == [number]


def test_a_container_for_one_input_is_stopped_after_it() -> None:
    rig = Rig(single_use=True)
    rig.open()
    rig.put(0, 1)
    (number,) = rig.start_all()
    assert rig.runs() == [(number, [0])]
    rig.results(number, 0)
    assert [stop.number for stop in rig.get(Stop)] == [number]
    assert rig.runs() == []


def test_results_of_a_caller_that_is_away_wait_for_it() -> None:
    rig = Rig()
    number = rig.warm()
    rig.put(1)
    rig.dispatcher.caller_gone(rig.now, CLIENT)
    rig.results(number, 1)
    assert rig.outputs() == []
    rig.dispatcher.caller_back(rig.now, CLIENT)
    rig.after()
    assert rig.outputs() == [(0, OK), (1, OK)]


def test_the_calls_of_a_caller_that_stays_away_end() -> None:
    rig = Rig()
    number = rig.warm()
    rig.put(1)
    rig.results(number, 1)
    rig.dispatcher.caller_gone(rig.now, CLIENT)
    rig.wait(61.0)
    assert rig.dispatcher.core.calls == {}
    assert rig.dispatcher.core.delivery.callers == {}
    assert [confirm.seqs for confirm in rig.get(ConfirmResults)] == [[1, 2]]


def test_a_detached_app_runs_its_calls_to_their_end_without_a_caller() -> None:
    rig = Rig()
    number = rig.warm()
    rig.dispatcher.detach_app("ap-1")
    rig.put(1)
    rig.dispatcher.drop_caller(rig.now, CLIENT)
    rig.after()
    assert rig.get(Stop) == []
    assert rig.dispatcher.has_calls("ap-1")
    rig.results(number, 1)
    rig.wait(30.0)
    assert not rig.dispatcher.has_calls("ap-1")
    assert rig.dispatcher.core.calls == {}


def test_a_caller_of_a_detached_app_that_comes_back_late_has_its_results() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.dispatcher.detach_app("ap-1")
    rig.put(1, 2)
    rig.dispatcher.caller_gone(rig.now, CLIENT)
    rig.wait(100.0)
    rig.results(number, 1, micros=100_000_000)
    rig.wait(100.0)
    rig.actions.clear()
    rig.dispatcher.caller_back(rig.now, CLIENT)
    rig.open(resumed=True)
    assert rig.put(1, 2) == 0
    rig.results(number, 2, micros=100_000_000)
    assert rig.outputs() == [(0, OK), (1, OK), (2, OK)]


def test_a_caller_of_a_detached_app_that_stays_away_is_given_up_when_its_calls_have_ended() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.dispatcher.detach_app("ap-1")
    rig.put(1)
    rig.dispatcher.caller_gone(rig.now, CLIENT)
    rig.wait(100.0)
    rig.results(number, 1)
    rig.wait(30.0)
    assert not rig.dispatcher.has_calls("ap-1")
    assert rig.dispatcher.core.delivery.callers == {}


def test_closing_a_call_interrupts_it_and_spares_its_container() -> None:
    rig = Rig()
    number = rig.warm(micros=2)
    rig.put(*range(1, 200))
    rig.actions.clear()
    rig.dispatcher.close_call(rig.now, CALL)
    rig.after()
    (cancel,) = rig.get(Cancel)
    assert (cancel.number, cancel.call_id, cancel.index, cancel.grace_s) == (
        number,
        CALL,
        list(range(1, 200)),
        30.0,
    )
    rig.taken_back(number, *range(65, 200))
    rig.results(number, *range(1, 65), code=ERROR)
    assert rig.outputs() == []
    rig.wait(40.0)
    assert rig.get(Stop) == []
    assert rig.dispatcher.core.calls == {}


def test_a_container_that_goes_on_with_a_closed_call_is_ended_after_the_grace() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(1)
    rig.dispatcher.close_call(rig.now, CALL)
    rig.wait(34.0)
    assert rig.get(Stop) == []
    rig.wait(2.0)
    (stop,) = rig.get(Stop)
    assert (stop.number, stop.grace_s) == (number, 0.0)


def test_a_stopped_app_ends_its_calls_and_its_containers() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(1, 2)
    rig.dispatcher.remove_app(rig.now, "ap-1")
    rig.after()
    assert [stop.number for stop in rig.get(Stop)] == [number]
    assert sorted(rig.outputs()) == [(1, LOST), (2, LOST)]
    assert rig.dispatcher.core.calls == {}


def test_finished_inputs_leave_nothing_behind_but_their_pages() -> None:
    rig = Rig()
    number = rig.warm(micros=2)
    done = 1
    while done < 10_000:
        rig.put(*range(done, done + 64))
        rig.results(number, *range(done, done + 64), micros=2)
        done += 64
        rig.actions.clear()
    call = rig.dispatcher.core.calls[CALL]
    assert call.segments == []
    assert call.attempts == {}
    assert call.ledger.pages == 1
