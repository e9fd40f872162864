"""How many containers there are over time, whatever comes: the promises of the autoscaler, kept by the dispatcher."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from ionian.core.actions import Run, Start, Stop, Take
from ionian.protocol.spec import Batching, Concurrency, Scaling
from ionian.protocol.workers import Capacity, ContainerState

from .rig import CALL, WORKER, Rig

ROOM = Capacity(64_000, 65_536)


class Factory(Rig):
    """Containers start and end as asked, and run what they are given in some time."""

    def __init__(self, scaling: Scaling, concurrency: Concurrency, batching: Batching | None) -> None:
        super().__init__(worker=ROOM, scaling=scaling, concurrency=concurrency, batching=batching)
        self.scaling = scaling
        self.live: set[int] = set()
        self.most = 0
        self.sent = 0
        self.done = 0

    def more(self, inputs: int) -> None:
        """Inputs arrive."""
        if not self.dispatcher.is_open(CALL):
            self.open()
        if inputs:
            self.put(*range(self.sent, self.sent + inputs))
            self.sent += inputs

    def go(self, steps: int, input_s: float) -> None:
        """Time passes; what was given before each step has ended after it."""
        for _ in range(steps):
            for start in self.get(Start):
                self.live.add(start.number)
                self.most = max(self.most, len(self.live))
                self.ready(start.number)
            given = self.get(Run)
            self.wait(input_s)
            for run in given:
                batch = run.batch
                self.done += len(batch.index)
                micros = int(input_s * 1e6)
                self.results(batch.container, *batch.index, attempt=batch.attempt[0], micros=micros)
            for take in self.get(Take):
                self.taken_back(take.number)
            for stop in self.get(Stop):
                self.live.discard(stop.number)
                ended = ContainerState(stop.number, "ended", "stopped")
                self.dispatcher.container_state(self.now, WORKER, ended)
                self.after()


scalings = st.builds(
    Scaling,
    min_containers=st.integers(0, 2),
    max_containers=st.sampled_from([0, 2, 5]),
    buffer_containers=st.integers(0, 2),
    scaledown_window_s=st.sampled_from([1.0, 10.0]),
)
shapes = st.tuples(
    st.builds(Concurrency, st.sampled_from([1, 1, 4]), st.sampled_from([0, 1, 2])),
    st.sampled_from([None, None, Batching(3, 10)]),
)
bursts = st.lists(st.tuples(st.integers(0, 30), st.integers(1, 10)), max_size=4)


@settings(max_examples=60, deadline=None)
@given(scalings, shapes, bursts, st.sampled_from([0.001, 0.2, 3.0]))
def test_load_reaches_its_containers_never_above_the_maximum_and_idle_goes_to_the_minimum(
    scaling: Scaling,
    shape: tuple[Concurrency, Batching | None],
    load: list[tuple[int, int]],
    input_s: float,
) -> None:
    factory = Factory(scaling, *shape)
    for inputs, steps in load:
        factory.more(inputs)
        factory.go(steps, input_s)
    for _ in range(400):
        if factory.done == factory.sent:
            break
        factory.go(1, input_s)
    assert factory.done == factory.sent, "load has not reached its containers"
    assert not scaling.max_containers or factory.most <= scaling.max_containers
    factory.go(60, 1.0)
    assert len(factory.live) == scaling.min_containers


@settings(max_examples=20, deadline=None)
@given(scalings, shapes)
def test_no_traffic_never_scales_up(scaling: Scaling, shape: tuple[Concurrency, Batching | None]) -> None:
    factory = Factory(scaling, *shape)
    factory.go(30, 1.0)
    assert factory.most == scaling.min_containers


def test_nothing_is_looked_at_while_nothing_happens() -> None:
    factory = Factory(Scaling(min_containers=1, scaledown_window_s=1.0), Concurrency(), None)
    factory.more(3)
    factory.go(60, 1.0)
    assert factory.dispatcher.next_tick() is None


def test_nothing_is_looked_at_while_all_that_may_run_is_running() -> None:
    rig = Rig()
    rig.warm(micros=80_000)
    rig.put(*range(1, 10))
    rig.wait(5.0)
    due = rig.dispatcher.next_tick()
    assert due is None or due > rig.now + 10.0, "but for the end of what gets idle"


def test_the_minimum_is_there_again_after_deaths_but_not_in_a_hurry() -> None:
    rig = Rig(scaling=Scaling(min_containers=1))
    starts = 0
    for _ in range(200):
        for start in rig.get(Start):
            starts += 1
            rig.ended(start.number, "exit")
        rig.wait(1.0)
    assert 10 <= starts <= 40
    rig.wait(100.0)
    assert len(rig.start_all()) == 1


def test_who_calls_a_function_that_crashed_often_does_not_wait_for_its_pause() -> None:
    rig = Rig(scaling=Scaling(min_containers=1))
    for _ in range(60):
        for start in rig.get(Start):
            rig.ended(start.number, "exit")
        rig.wait(1.0)
    assert rig.get(Start) == []
    rig.open()
    rig.put(0)
    assert len(rig.get(Start)) == 1


def test_the_numbers_of_a_function_change_while_it_runs() -> None:
    factory = Factory(Scaling(min_containers=5), Concurrency(), None)
    factory.go(2, 1.0)
    assert len(factory.live) == 5
    assert factory.dispatcher.scale(factory.now, "fu-1", Scaling(max_containers=2, scaledown_window_s=1.0))
    factory.go(2, 1.0)
    assert len(factory.live) <= 2
    factory.dispatcher.scale(factory.now, "fu-1", Scaling(min_containers=3, max_containers=4))
    factory.after()
    factory.go(2, 1.0)
    assert len(factory.live) == 3
    assert not factory.dispatcher.scale(factory.now, "fu-none", Scaling())


def test_a_lowered_maximum_holds_although_all_are_busy() -> None:
    factory = Factory(Scaling(), Concurrency(), None)
    factory.more(500)
    factory.go(3, 1.0)
    assert len(factory.live) > 10
    factory.dispatcher.scale(factory.now, "fu-1", Scaling(max_containers=2))
    factory.go(3, 1.0)
    assert len(factory.live) <= 2
    factory.go(300, 1.0)
    assert factory.done == 500
