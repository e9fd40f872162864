"""Why something waits, in words."""

from __future__ import annotations

from dataclasses import replace

from ionian.core.actions import Start
from ionian.core.explain import ordinal, seconds
from ionian.protocol.batch import ERROR
from ionian.protocol.calls import InputReason
from ionian.protocol.spec import FunctionSpec, GpuRequest, Resources, RetryPolicy, Scaling
from ionian.protocol.workers import Capacity, Device

from .rig import CALL, CLIENT, OTHER, WORKER, Rig

FOUR = Capacity(64_000, 65_536, [Device(f"gpu={n}", "A100-40GB", 40_960) for n in range(4)])


def why(rig: Rig, call: str = CALL) -> list[InputReason]:
    explained = rig.dispatcher.explain(rig.now, call)
    assert explained is not None
    return explained.reasons


def only(rig: Rig, call: str = CALL) -> InputReason:
    (reason,) = why(rig, call)
    return reason


def test_durations_and_places_are_said_shortly() -> None:
    assert [seconds(n) for n in (0.04, 9.9, 75, 600, 9000)] == ["0.0 s", "9.9 s", "75 s", "10 min", "2.5 h"]
    assert [ordinal(n) for n in (1, 2, 3, 4, 11, 12, 21)] == [
        "1st",
        "2nd",
        "3rd",
        "4th",
        "11th",
        "12th",
        "21st",
    ]


def test_an_unknown_call_has_no_reasons() -> None:
    assert Rig().dispatcher.explain(0.0, CALL) is None


def test_an_image_that_is_being_built() -> None:
    rig = Rig()
    rig.dispatcher.core.functions["fu-1"].spec.image_id = "im-1"
    rig.dispatcher.image_building("im-1", True)
    rig.open()
    rig.put(0)
    assert (only(rig).state, only(rig).reason) == ("building", "its image is being built")
    rig.dispatcher.image_building("im-1", False)
    assert only(rig).state == "starting"


def test_a_container_that_is_starting() -> None:
    rig = Rig()
    rig.open()
    rig.put(3, 4)
    rig.wait(2.0)
    reason = only(rig)
    assert (reason.state, reason.count, reason.first) == ("starting", 2, 3)
    assert reason.reason == "a container for it is starting, since 2.0 s"


def test_an_input_that_runs_since_when_and_where() -> None:
    rig = Rig()
    rig.warm(micros=80_000)
    rig.put(1)
    rig.wait(7.0)
    reason = only(rig)
    assert (reason.state, reason.since_s, reason.reason) == ("running", 7.0, "it has been running for 7.0 s")
    assert reason.container_id.startswith("ta-")


def test_an_input_on_a_worker_that_is_out_of_reach() -> None:
    rig = Rig()
    rig.warm(micros=80_000)
    rig.put(1)
    rig.dispatcher.worker_gone(rig.now, WORKER)
    rig.after()
    rig.wait(5.0)
    assert "worker wo-1, which has been out of reach for 5.0 s" in only(rig).reason


def test_a_maximum_that_is_reached_and_the_place_in_the_queue() -> None:
    rig = Rig()
    rig.warm(micros=80_000)
    rig.put(1, 2)
    rig.open(OTHER)
    rig.put(0, call=OTHER)
    reason = only(rig, OTHER)
    assert (reason.state, reason.place) == ("waiting", 2)
    assert reason.reason == (
        "all 1 of its containers are busy (max_containers=1); 1 other call of it is served before it"
    )


def test_an_older_version_that_holds_the_maximum() -> None:
    rig = Rig()
    rig.warm(micros=80_000)
    rig.put(1)
    spec = rig.dispatcher.core.functions["fu-1"].spec
    rig.dispatcher.add_function(rig.now, replace(spec, image_id="im-2"), "ap-1", "main")
    rig.put(2)
    assert "of which 1 is of an older version" in why(rig)[-1].reason


def test_an_input_that_is_tried_again() -> None:
    rig = Rig(retries=RetryPolicy(3, initial_delay_s=8.0))
    number = rig.warm(micros=80_000)
    rig.put(1)
    rig.results(number, 1, code=ERROR)
    rig.wait(3.0)
    reason = only(rig)
    assert (reason.state, reason.first) == ("retrying", 1)
    assert reason.reason == "it failed and is tried again in 5.0 s (retry 1 of 3)"
    state = rig.dispatcher.state_of("fu-1", rig.now)
    assert state is not None
    assert state.waiting_for == "it failed and is tried again in 5.0 s (retry 1 of 3)"


def test_inputs_that_are_held_after_a_restart() -> None:
    rig = Rig(epoch=2, known_workers={WORKER, "wo-2"})
    rig.open(resumed=True)
    rig.put(0)
    assert only(rig).state == "held"
    assert "the server was restarted" in only(rig).reason


def test_no_worker() -> None:
    rig = Rig(join=False)
    rig.open()
    rig.put(0)
    assert only(rig).reason == "no worker is connected: start one with `ionian worker`"


def test_containers_that_are_wanted_while_workers_of_before_are_awaited() -> None:
    rig = Rig(epoch=2, known_workers={WORKER}, join=False, scaling=Scaling(min_containers=2))
    ((_, count, reason),) = rig.dispatcher.wanted(rig.now)
    assert count == 2
    assert "the server was restarted" in reason


def test_a_container_that_does_not_start() -> None:
    rig = Rig()
    rig.open()
    rig.put(0)
    rig.ended(rig.get(Start)[0].number, "exit")
    assert only(rig).reason == "a container of it did not start; it is tried again in 0.2 s"


def test_gpus_that_others_have_with_the_place_and_what_unblocks_it() -> None:
    rig = Rig(worker=FOUR, resources=Resources(gpus=[GpuRequest("A100", 2)]), scaling=Scaling())
    rig.warm(micros=80_000)
    rig.put(1)
    for number, name in enumerate(("big", "later")):
        call = f"fc-{number}".ljust(29, "0")
        spec = FunctionSpec(f"fu-{name}", name, "m", "f", resources=Resources(gpus=[GpuRequest("A100", 4)]))
        rig.dispatcher.add_function(rig.now, spec, "ap-1", "main")
        assert rig.dispatcher.open_call(rig.now, call, spec.function_id, CLIENT)
        rig.put(0, call=call)
    reason = only(rig, "fc-1".ljust(29, "0"))
    assert reason.state == "waiting"
    assert reason.reason == (
        "4 × A100 asked, 2 free of 4 on worker wo-1; it is 2nd in the queue; it starts when a container of f ends"
    )
    assert [(id, count) for id, count, _ in rig.dispatcher.wanted(rig.now)] == [
        ("fu-big", 1),
        ("fu-later", 1),
    ]


def test_memory_and_workers_by_their_name() -> None:
    rig = Rig(join=False, resources=Resources(memory_mib=3000), scaling=Scaling())
    rig.dispatcher.worker_joined(rig.now, WORKER, Capacity(4000, 4096), name="box")
    rig.after()
    rig.open()
    rig.put(0, 1)
    rig.wait(0.1)
    rig.start_all()
    assert why(rig)[-1].reason == (
        "3000 MiB asked, 1096 MiB free of 4096 MiB on worker box; it starts when a container of f ends"
    )


def test_what_no_worker_could_ever_hold() -> None:
    rig = Rig(resources=Resources(cpu_milli=9000))
    rig.open()
    rig.put(0)
    assert only(rig).reason == "it asks for 9 cores, and the largest worker has 4"


def test_a_call_in_many_containers_is_told_shortly() -> None:
    rig = Rig(worker=Capacity(64_000, 65_536), scaling=Scaling())
    rig.open()
    rig.put(*range(40))
    for _ in range(4):
        rig.wait(1.0)
        rig.start_all()
    reasons = why(rig)
    assert len(reasons) == 21
    assert sum(reason.count for reason in reasons) == 40
    assert reasons[-1].reason == "they run in 20 more containers"
