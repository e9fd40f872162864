"""Deploys while calls run: new versions, rollovers, removed functions."""

from __future__ import annotations

from dataclasses import replace

from ionian.core.actions import Start, Stop, Take
from ionian.core.versions import INTERRUPT_S
from ionian.protocol.batch import LOST, OK
from ionian.protocol.spec import Concurrency, RetryPolicy, Scaling

from .rig import CALL, CLIENT, OTHER, Rig


def deploy(rig: Rig, **changes: object) -> None:
    """A new version of the function."""
    spec = rig.dispatcher.core.functions["fu-1"].spec
    rig.dispatcher.add_function(rig.now, replace(spec, version=spec.version + 1, **changes), "ap-1", "main")
    rig.after()


def test_the_same_containers_stay_where_only_the_servers_part_changed() -> None:
    rig = Rig()
    rig.warm()
    deploy(
        rig,
        scaling=Scaling(max_containers=3),
        retries=RetryPolicy(2),
        concurrency=Concurrency(target_inputs=1),
    )
    assert rig.get(Stop) == []
    rig.put(1)
    assert len(rig.runs()) == 1


def test_an_idle_container_of_an_older_version_ends_at_once() -> None:
    rig = Rig()
    number = rig.warm()
    deploy(rig, timeout_s=7.0)
    (stop,) = rig.get(Stop)
    assert stop.number == number
    assert stop.grace_s > 0


def test_running_inputs_end_on_the_old_version_and_new_ones_go_to_the_new() -> None:
    rig = Rig(scaling=Scaling(max_containers=2))
    old = rig.warm(micros=400)
    rig.put(1, 2, 3)
    rig.actions.clear()
    deploy(rig, image_id="im-2")
    assert [take.number for take in rig.get(Take)] == [old], "what it has not begun goes elsewhere"
    rig.taken_back(old, 2, 3)
    rig.wait(0.1)
    (new,) = rig.start_all()
    assert {number for number, _ in rig.runs()} == {new}
    rig.results(old, 1, micros=400)
    assert rig.outputs() == [(1, OK)]
    assert [stop.number for stop in rig.get(Stop)] == [old]


def test_an_old_container_counts_against_the_maximum_until_it_is_gone() -> None:
    rig = Rig(scaling=Scaling(max_containers=1))
    old = rig.warm(micros=80_000)
    rig.put(1, 2)
    deploy(rig, image_id="im-2")
    rig.wait(5.0)
    assert rig.get(Start) == []
    rig.results(old, 1)
    rig.ended(old, "stopped")
    rig.wait(0.1)
    assert len(rig.get(Start)) == 1


def test_containers_that_start_for_an_older_version_are_stopped() -> None:
    rig = Rig()
    rig.open()
    rig.put(0)
    (start,) = rig.get(Start)
    deploy(rig, image_id="im-2")
    assert [stop.number for stop in rig.get(Stop)] == [start.number]
    rig.ended(start.number, "stopped")
    rig.wait(0.1)
    assert len(rig.get(Start)) == 1


def test_a_rollover_replaces_containers_without_a_change() -> None:
    rig = Rig(scaling=Scaling(max_containers=2))
    old = rig.warm(micros=80_000)
    rig.put(1)
    assert rig.dispatcher.rollover(rig.now, "fu-1")
    rig.after()
    rig.put(2)
    rig.taken_back(old)
    rig.wait(0.1)
    assert len(rig.get(Start)) == 1
    assert not rig.dispatcher.rollover(rig.now, "fu-none")


def test_recreate_stops_what_runs_and_runs_it_again() -> None:
    rig = Rig()
    old = rig.warm(micros=80_000)
    rig.put(1)
    rig.actions.clear()
    rig.dispatcher.recreate(rig.now, "fu-1")
    rig.after()
    assert [(stop.number, stop.grace_s) for stop in rig.get(Stop)] == [(old, 0.0)]
    rig.ended(old, "signal", running=[1])
    rig.wait(0.1)
    (new,) = rig.start_all()
    assert rig.runs() == [(new, [1])]


def test_a_removed_function_ends_what_waits_and_lets_run_what_runs() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(1, 2, 3)
    rig.actions.clear()
    rig.dispatcher.remove_function(rig.now, "fu-1")
    rig.after()
    failures = rig.failures()
    assert sorted(failures) == [2, 3]
    assert failures[2]["type"] == "NotFoundError"
    assert "removed by a newer deploy" in failures[2]["message"]
    assert not rig.dispatcher.open_call(rig.now, OTHER, "fu-1", CLIENT)
    rig.put(4)
    assert rig.outputs() == [(4, LOST)]
    rig.results(number, 1)
    assert rig.outputs() == [(1, OK)]
    assert [stop.number for stop in rig.get(Stop)] == [number]
    rig.ended(number, "stopped")
    rig.dispatcher.close_call(rig.now, CALL)
    rig.after()
    assert rig.dispatcher.core.functions == {}


def test_a_removed_function_whose_container_dies_does_not_run_again() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(1)
    rig.dispatcher.remove_function(rig.now, "fu-1")
    rig.after()
    rig.ended(number, "exit", running=[1])
    assert rig.failures()[1]["type"] == "NotFoundError"


def test_a_removed_function_comes_back_with_a_later_deploy() -> None:
    rig = Rig()
    rig.warm()
    spec = rig.dispatcher.core.functions["fu-1"].spec
    rig.dispatcher.remove_function(rig.now, "fu-1")
    rig.after()
    rig.dispatcher.add_function(rig.now, replace(spec, timeout_s=5.0), "ap-1", "main")
    rig.after()
    assert rig.put(1) == 1
    assert rig.outputs() == []


def test_an_app_that_stops_ends_containers_of_removed_functions_too() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(1)
    rig.dispatcher.remove_function(rig.now, "fu-1")
    rig.after()
    rig.actions.clear()
    rig.dispatcher.remove_app(rig.now, "ap-1")
    rig.after()
    assert [(stop.number, stop.grace_s) for stop in rig.get(Stop)] == [(number, 0.0)]
    assert rig.outputs() == [(1, LOST)]


def test_a_container_that_is_told_to_end_gracefully_gets_nothing_more() -> None:
    rig = Rig(scaling=Scaling(max_containers=2))
    number = rig.warm(micros=80_000)
    rig.put(1)
    (id,) = [container.id for container in rig.dispatcher.core.functions["fu-1"].containers]
    assert rig.dispatcher.end_container(rig.now, id, graceful=True)
    rig.after()
    rig.taken_back(number)
    rig.actions.clear()
    rig.results(number, 1)
    assert [stop.number for stop in rig.get(Stop)] == [number]
    assert not rig.dispatcher.end_container(rig.now, "ta-none", graceful=False)


def test_a_container_that_is_told_to_end_is_interrupted_and_ended_at_once_if_asked_again() -> None:
    rig = Rig()
    number = rig.warm(micros=80_000)
    rig.put(1)
    (id,) = [container.id for container in rig.dispatcher.core.functions["fu-1"].containers]
    rig.actions.clear()
    for _ in range(2):
        assert rig.dispatcher.end_container(rig.now, id, graceful=False)
        rig.after()
    assert [(stop.number, stop.grace_s) for stop in rig.get(Stop)] == [(number, INTERRUPT_S), (number, 0.0)]
