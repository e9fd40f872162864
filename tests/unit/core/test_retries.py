"""Inputs that fail and are tried again."""

from __future__ import annotations

import pytest

from ionian.core.actions import ConfirmResults, Failed, Run, Start, Tried
from ionian.core.retries import delay_s
from ionian.protocol.batch import ERROR, LOST, OK
from ionian.protocol.ids import input_id
from ionian.protocol.spec import RetryPolicy, Scaling
from ionian.protocol.workers import Capacity

from .rig import CALL, CLIENT, WORKER, Rig

TWICE = RetryPolicy(2, initial_delay_s=1.0)


def newest(rig: Rig) -> int:
    """The attempt of the last Run."""
    return rig.get(Run)[-1].batch.attempt[0]


def retrying(policy: RetryPolicy = TWICE) -> tuple[Rig, int]:
    rig = Rig(retries=policy)
    return rig, rig.warm(micros=80_000)


def test_the_delay_grows_by_the_coefficient_up_to_its_maximum() -> None:
    policy = RetryPolicy(10, backoff_coefficient=2.0, initial_delay_s=1.0, max_delay_s=5.0)
    assert [delay_s(policy, n) for n in range(4)] == [1.0, 2.0, 4.0, 5.0]
    assert delay_s(policy, 100_000) == 5.0
    assert delay_s(RetryPolicy(3), 2) == 1.0


def test_a_failed_input_is_not_delivered_but_tried_again_after_its_delay() -> None:
    rig, number = retrying()
    rig.put(1)
    first = newest(rig)
    seq = rig.results(number, 1, code=ERROR, attempt=first)
    assert rig.outputs() == []
    assert [confirm.seqs for confirm in rig.get(ConfirmResults)] == [[seq]], "the worker need not keep it"
    assert rig.dispatcher.counts(CALL) == (0, 0, 1)
    rig.wait(0.9)
    assert rig.runs() == []
    rig.wait(0.2)
    second = newest(rig)
    assert second > first
    rig.results(number, 1, attempt=second)
    assert rig.outputs() == [(1, OK)]


def test_the_last_failure_is_delivered_when_no_retry_is_left() -> None:
    rig, number = retrying()
    rig.put(1)
    for _ in range(3):
        assert rig.outputs() == []
        rig.wait(1.1)
        rig.results(number, 1, code=ERROR, attempt=newest(rig))
    assert rig.outputs() == [(1, ERROR)]
    assert rig.dispatcher.core.calls[CALL].retries == {}
    (failed,) = rig.get(Failed)
    assert (failed.call_id, failed.index, failed.input, failed.code, failed.failure) == (
        CALL,
        1,
        b"xxx",
        ERROR,
        b"r",
    )


def test_a_failure_offered_again_is_not_counted_twice() -> None:
    rig, number = retrying(RetryPolicy(1))
    rig.put(1)
    first = newest(rig)
    rig.results(number, 1, code=ERROR, attempt=first)
    rig.wait(1.1)
    rig.results(number, 1, code=ERROR, attempt=first)
    assert rig.outputs() == []
    rig.results(number, 1, attempt=newest(rig))
    assert rig.outputs() == [(1, OK)]


def test_what_an_input_has_used_counts_when_its_call_is_opened_after_a_start_of_the_server() -> None:
    rig, number = retrying()
    rig.put(1)
    first = newest(rig)
    rig.results(number, 1, code=ERROR, attempt=first)
    (tried,) = rig.get(Tried)
    assert (tried.call_id, tried.index, tried.retries) == (CALL, 1, 1)

    rig = Rig(epoch=2, retries=TWICE)
    number = rig.warm(micros=80_000)
    other = "fc-" + "2" * 26
    used = {1: (tried.retries, tried.attempt)}
    assert rig.dispatcher.open_call(rig.now, other, "fu-1", CLIENT, used=used)
    rig.put(1, call=other)
    rig.results(number, 1, call=other, code=ERROR, attempt=first)  # said again, it is not counted again
    rig.results(number, 1, call=other, code=ERROR, attempt=newest(rig))
    rig.wait(1.1)
    assert rig.outputs() == []
    rig.results(number, 1, call=other, code=ERROR, attempt=newest(rig))
    assert rig.outputs() == [(1, ERROR)]


def test_of_a_batch_only_what_failed_is_tried_again() -> None:
    rig = Rig(retries=TWICE)
    number = rig.warm(micros=2)
    rig.put(1, 2, 3)
    rig.mixed_results(number, {1: OK, 2: ERROR, 3: OK})
    assert rig.outputs() == [(1, OK), (3, OK)]
    assert rig.dispatcher.counts(CALL) == (0, 0, 1)


def test_a_timeout_counts_as_a_failure() -> None:
    rig, number = retrying(RetryPolicy(1))
    rig.put(1)
    rig.ended(number, "timeout", running=[1])
    assert rig.failures() == {}
    rig.wait(2.0)
    (number,) = rig.start_all()
    rig.ended(number, "timeout", running=[1])
    assert rig.failures()[1]["type"] == "FunctionTimeoutError"


def test_a_death_counts_as_a_failure_where_there_are_retries() -> None:
    rig, number = retrying(RetryPolicy(1))
    rig.put(1)
    rig.ended(number, "memory", running=[1])
    rig.wait(2.0)
    (number,) = rig.start_all()
    rig.ended(number, "memory", running=[1])
    failure = rig.failures()[1]
    assert failure["type"] == "ResourceExhaustedError"
    assert "tried 2 times" in failure["message"]
    assert failure["input"] == input_id(CALL, 1)  # kept for `ionian replay`


def test_what_is_stopped_by_us_or_lost_with_its_worker_is_not_counted() -> None:
    rig, number = retrying(RetryPolicy(1))
    rig.put(1)
    rig.dispatcher.recreate(rig.now, "fu-1")
    rig.after()
    rig.ended(number, "stopped", running=[1])
    rig.wait(1.0)
    rig.start_all()
    assert rig.dispatcher.core.calls[CALL].retries == {}
    rig.join(Capacity(4000, 4096), worker="wo-2")
    rig.dispatcher.worker_gone(rig.now, WORKER, dead=True)
    rig.after()
    rig.wait(0.1)
    assert rig.dispatcher.core.calls[CALL].retries == {}
    assert rig.dispatcher.counts(CALL) == (1, 0, 0)


def test_a_delayed_input_does_not_start_containers_before_it_is_due() -> None:
    rig = Rig(retries=RetryPolicy(1, initial_delay_s=30.0), scaling=Scaling(scaledown_window_s=1.0))
    rig.open()
    rig.put(0)
    (number,) = rig.start_all()
    rig.results(number, 0, code=ERROR)
    rig.wait(5.0)
    rig.ended(number, "stopped")
    rig.wait(20.0)
    assert rig.get(Start) == []
    rig.wait(10.0)
    assert len(rig.get(Start)) == 1


def test_a_closed_call_forgets_what_is_delayed() -> None:
    rig, number = retrying()
    rig.put(1)
    rig.results(number, 1, code=ERROR)
    rig.actions.clear()
    rig.dispatcher.close_call(rig.now, CALL)
    rig.after()
    assert rig.dispatcher.core.calls == {}
    rig.wait(2.0)
    assert rig.runs() == []


def test_a_stopped_app_ends_what_is_delayed() -> None:
    rig, number = retrying()
    rig.put(1)
    rig.results(number, 1, code=ERROR)
    rig.dispatcher.remove_app(rig.now, "ap-1")
    rig.after()
    assert rig.outputs() == [(1, LOST)]


def test_a_detached_call_does_not_end_while_an_input_is_delayed() -> None:
    rig, number = retrying(RetryPolicy(1, initial_delay_s=60.0))
    rig.dispatcher.detach_app("ap-1")
    rig.put(1)
    rig.results(number, 1, code=ERROR)
    rig.dispatcher.drop_caller(rig.now, "cl-1")
    rig.after()
    rig.wait(50.0)
    assert rig.dispatcher.has_calls("ap-1")


@pytest.mark.parametrize("policy", [None, RetryPolicy(0)])
def test_without_retries_the_first_failure_is_the_last(policy: RetryPolicy | None) -> None:
    rig = Rig(retries=policy)
    number = rig.warm()
    rig.put(1)
    rig.results(number, 1, code=ERROR)
    assert rig.outputs() == [(1, ERROR)]
    assert len(rig.get(Failed)) == 1


def test_a_failure_from_before_a_start_of_the_server_waits_for_its_payload() -> None:
    rig = Rig(epoch=2, known_workers={WORKER}, retries=TWICE)
    rig.open(resumed=True)
    rig.results(5, 0, attempt=1, code=ERROR)
    assert rig.outputs() == []
    assert rig.put(0) == 1
    rig.wait(12.0)
    rig.start_all()
    assert [rows for _, rows in rig.runs()] == [[0]]


def test_failures_are_kept_for_replay_a_hundred_a_minute() -> None:
    rig = Rig()
    number = rig.warm(micros=2)
    for start in range(1, 321, 64):
        rig.put(*range(start, start + 64))
        rig.results(number, *range(start, start + 64), code=ERROR, micros=2)
    assert len(rig.get(Failed)) == 100
    rig.wait(61.0)
    rig.put(1000)
    rig.results(number, 1000, code=ERROR, micros=2)
    assert len(rig.get(Failed)) == 1


def test_cancelled_inputs_are_no_failures_to_replay() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(1, 2)
    rig.dispatcher.cancel_call(rig.now, CALL)
    rig.after()
    rig.results(number, 1, code=ERROR)
    assert rig.get(Failed) == []
