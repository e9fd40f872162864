"""Starts, stops, and what becomes of inputs whose containers die."""

from __future__ import annotations

from ionian.core.actions import Deliver, Start, Stop
from ionian.protocol.batch import ERROR, LOST, OK, YIELD
from ionian.protocol.spec import FunctionSpec, Resources, Scaling
from ionian.protocol.workers import Capacity

from .rig import CALL, CLIENT, Rig


def test_inputs_that_were_never_claimed_run_elsewhere_first() -> None:
    rig = Rig()
    number = rig.warm(micros=400)
    rig.put(*range(1, 30))
    given = [row for _, rows in rig.runs() for row in rows]
    rig.ended(number, "exit", running=given[:2], unclaimed=given[2:])
    rig.wait(1.0)
    rig.start_all()
    assert next(rows for _, rows in rig.runs()) == [1]


def test_an_input_of_which_three_containers_died_ends_in_that_error() -> None:
    rig = Rig()
    rig.open()
    rig.put(7)
    for _ in range(3):
        assert rig.failures() == {}
        rig.wait(1.0)
        (number,) = rig.start_all()
        rig.ended(number, "memory", running=[7])
    (failure,) = rig.failures().values()
    assert failure["type"] == "ResourceExhaustedError"
    assert "128 MiB" in failure["message"]


def test_what_was_claimed_beside_a_killer_runs_alone_and_is_spared() -> None:
    rig = Rig()
    number = rig.warm(micros=400)
    rig.put(1, 2, 3, 4)
    rig.actions.clear()
    rig.ended(number, "signal", running=[1, 2, 3, 4])
    rig.wait(1.0)
    (number,) = rig.start_all()
    first = rig.dispatcher.core.first_attempt + 1
    runs = rig.runs()
    for index in (1, 2):
        assert runs == [(number, [index])] or [index] in [rows for _, rows in runs]
        rig.results(number, index, attempt=first, micros=400)
        runs += rig.runs()
    assert rig.outputs() == [(1, OK), (2, OK)]
    assert all(len(rows) == 1 for _, rows in runs)


def test_a_timeout_ends_its_input_at_once_and_no_other() -> None:
    rig = Rig()
    number = rig.warm(micros=400)
    rig.put(1, 2)
    rig.ended(number, "timeout", running=[1, 2])
    failures = rig.failures()
    assert list(failures) == [1]
    assert failures[1]["type"] == "FunctionTimeoutError"


def test_a_generator_is_not_run_again_once_it_has_yielded() -> None:
    rig = Rig()
    number = rig.warm(micros=400)
    rig.put(1, 2)
    rig.results(number, 1, code=YIELD)
    rig.ended(number, "signal", running=[1], unclaimed=[2])
    assert list(rig.failures()) == [1]
    rig.wait(1.0)
    (number,) = rig.start_all()
    assert [rows for _, rows in rig.runs()][-1] == [2]


def test_a_failed_import_is_tried_three_times_and_then_told_to_those_who_wait() -> None:
    rig = Rig()
    rig.open()
    rig.put(0, 1)
    for _ in range(3):
        (start,) = rig.get(Start)
        rig.ended(start.number, "import", payload=b"pickled")
        rig.wait(2.0)
    (deliver,) = rig.get(Deliver)
    assert (list(deliver.batch.code), deliver.batch.payloads()) == ([ERROR, ERROR], [b"pickled"] * 2)
    assert rig.get(Start) == []
    rig.put(2)
    assert len(rig.get(Start)) == 1, "a later input tries again"


def test_starts_that_fail_together_are_one_try() -> None:
    rig = Rig(scaling=Scaling(max_containers=4))
    rig.open()
    rig.put(0, 1, 2, 3)
    for start in rig.get(Start):
        rig.ended(start.number, "startup")
    assert rig.failures() == {}
    rig.wait(0.5)
    assert len(rig.get(Start)) == 1, "after a failure one at a time"


def test_an_idle_container_ends_after_the_scaledown_window() -> None:
    rig = Rig(scaling=Scaling(max_containers=1, scaledown_window_s=10.0))
    number = rig.warm()
    rig.wait(9.9)
    assert rig.get(Stop) == []
    rig.wait(0.2)
    (stop,) = rig.get(Stop)
    assert (stop.number, stop.grace_s, stop.reason) == (number, 5.0, "idle")


def test_minimum_containers_start_at_once_and_stay() -> None:
    rig = Rig(scaling=Scaling(min_containers=2, scaledown_window_s=1.0))
    assert len(rig.start_all()) == 2
    rig.wait(100.0)
    assert rig.get(Stop) == []


def test_an_input_that_takes_longer_than_the_measured_pace_gets_company() -> None:
    rig = Rig(scaling=Scaling(max_containers=10))
    rig.warm(micros=1000)
    rig.put(*range(1, 51))
    rig.get(Start)
    rig.wait(2.0)
    assert len(rig.get(Start)) >= 5


def test_a_container_waits_for_room_and_says_for_what() -> None:
    rig = Rig(worker=Capacity(1000, 4096), resources=Resources(cpu_milli=1000), scaling=Scaling())
    rig.open()
    rig.put(0, 1)
    assert len(rig.start_all()) == 1
    rig.wait(1.0)
    state = rig.dispatcher.state_of("fu-1")
    assert state is not None
    assert state.waiting_for == (
        "1 cores asked, 0 free of 1 on worker wo-1; it starts when a container of f ends"
    )


def test_a_full_function_says_that_its_maximum_is_reached() -> None:
    rig = Rig()
    rig.warm(micros=80_000)
    rig.put(1, 2)
    rig.wait(1.0)
    state = rig.dispatcher.state_of("fu-1")
    assert state is not None
    assert state.waiting_for == "all 1 of its containers are busy (max_containers=1)"


def test_idle_containers_of_others_make_room() -> None:
    rig = Rig(worker=Capacity(1000, 4096), resources=Resources(cpu_milli=1000), scaling=Scaling())
    number = rig.warm()
    spec = FunctionSpec("fu-2", "g", "m", "g", resources=Resources(cpu_milli=500))
    rig.dispatcher.add_function(rig.now, spec, "ap-1", "main")
    other = CALL[:-1] + "Z"
    assert rig.dispatcher.open_call(rig.now, other, "fu-2", CLIENT)
    rig.put(0, call=other)
    (stop,) = rig.get(Stop)
    assert (stop.number, stop.reason) == (number, "others need its room")
    rig.ended(number, "stopped")
    rig.wait(0.1)
    assert [start.function_id for start in rig.get(Start)] == ["fu-2"]


def test_usage_of_ended_containers_is_summed() -> None:
    rig = Rig()
    number = rig.warm()
    rig.ended(number, "stopped")
    total = rig.dispatcher.usage.of_app("ap-1")
    assert total.containers == 1


def test_no_function_means_no_call() -> None:
    rig = Rig()
    assert not rig.dispatcher.open_call(0.0, CALL, "fu-none", CLIENT)
    assert rig.put(0) == 0
    assert LOST not in [code for _, code in rig.outputs()]
