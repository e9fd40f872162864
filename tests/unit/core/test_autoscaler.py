"""What the autoscaler promises, for every load."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from ionian.core.autoscaler import Load, desired, kept_idle
from ionian.protocol.spec import Scaling


@st.composite
def scalings(draw: st.DrawFn) -> Scaling:
    low, extra = draw(st.integers(0, 5)), draw(st.integers(0, 50))
    most = low + extra if extra else 0
    return Scaling(min_containers=low, max_containers=most, buffer_containers=draw(st.integers(0, 5)))


@st.composite
def loads(draw: st.DrawFn) -> Load:
    running = draw(st.integers(0, 1000))
    pace = draw(st.one_of(st.just(-1.0), st.floats(0, 100)))
    return Load(draw(st.integers(0, 10_000)), running, draw(st.integers(0, running)), pace)


@given(scalings(), loads())
def test_never_above_the_maximum_and_never_below_the_minimum(scaling: Scaling, load: Load) -> None:
    wanted = desired(scaling, load)
    assert wanted >= scaling.min_containers
    assert not scaling.max_containers or wanted <= scaling.max_containers


@given(scalings(), loads())
def test_never_more_than_there_are_inputs_beside_what_is_kept(scaling: Scaling, load: Load) -> None:
    kept = scaling.min_containers + scaling.buffer_containers
    assert desired(scaling, load) <= load.queued + load.running + kept


@given(loads())
def test_some_container_for_any_input(load: Load) -> None:
    assert (desired(Scaling(), load) > 0) == (load.queued + load.running > 0)


@given(scalings(), loads(), st.integers(1, 100))
def test_more_work_never_means_fewer_containers(scaling: Scaling, load: Load, more: int) -> None:
    heavier = Load(load.queued + more, load.running, load.busy, load.pace_s)
    assert desired(scaling, heavier) >= desired(scaling, load)


def test_an_unknown_pace_means_a_container_for_each_input() -> None:
    assert desired(Scaling(), Load(7, 0, 0, -1.0)) == 7


def test_a_known_pace_drains_the_backlog_in_a_second() -> None:
    assert desired(Scaling(), Load(1000, 0, 1, 0.01)) == 10
    assert desired(Scaling(), Load(4000, 256, 1, 0.000005)) == 1


def test_buffer_containers_are_kept_only_while_there_is_work() -> None:
    scaling = Scaling(buffer_containers=2)
    assert kept_idle(scaling, Load(0, 1, 1, 1.0)) == 2
    assert kept_idle(scaling, Load(0, 0, 0, 1.0)) == 0
