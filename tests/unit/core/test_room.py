"""Who gets room where there is too little."""

from __future__ import annotations

from ionian.core.actions import Run, Start, Stop
from ionian.protocol.spec import FunctionSpec, GpuRequest, Resources, Scaling
from ionian.protocol.workers import Capacity, ContainerState, Device

from .rig import CLIENT, WORKER, Rig

FOUR = Capacity(64_000, 65_536, [Device(f"gpu={n}", "A100-40GB", 40_960) for n in range(4)])


class Busy(Rig):
    """A worker with four GPUs, and functions that always have work."""

    def __init__(self) -> None:
        super().__init__(worker=FOUR)
        self.calls: dict[str, str] = {}
        self.owner: dict[int, str] = {}

    def function(self, name: str, gpus: int, inputs: int, scaling: Scaling | None = None) -> None:
        resources = Resources(gpus=[GpuRequest("A100", gpus)])
        spec = FunctionSpec(f"fu-{name}", name, "m", "f", resources=resources, scaling=scaling or Scaling())
        self.dispatcher.add_function(self.now, spec, "ap-1", "main")
        self.calls[name] = f"fc-{name}".ljust(29, "0")
        assert self.dispatcher.open_call(self.now, self.calls[name], spec.function_id, CLIENT)
        self.put(*range(inputs), call=self.calls[name])

    def run(self, seconds: float, input_s: float = 1.0) -> dict[str, int]:
        """Time passes, every input takes so long; returns how many of each function were begun."""
        begun = dict.fromkeys(self.calls, 0)
        until = self.now + seconds
        while self.now < until:
            for start in self.get(Start):
                self.owner[start.number] = start.function_id.removeprefix("fu-")
                self.ready(start.number)
            runs = self.get(Run)
            for stop in self.get(Stop):
                self.dispatcher.container_state(
                    self.now, WORKER, ContainerState(stop.number, "ended", "stopped")
                )
                self.after()
            self.wait(input_s)
            for run in runs:
                batch = run.batch
                begun[self.owner[batch.container]] += len(batch.index)
                self.results(
                    batch.container,
                    *batch.index,
                    call=batch.call_id,
                    attempt=batch.attempt[0],
                    micros=int(input_s * 1e6),
                )
            for take in [action for action in self.actions if type(action).__name__ == "Take"]:
                self.actions.remove(take)
                self.taken_back(take.number)  # type: ignore[attr-defined]
        return begun


def test_four_gpus_come_free_for_who_wants_four_although_others_want_one_each_all_the_time() -> None:
    rig = Busy()
    rig.function("small", 1, 1000)
    rig.run(5.0)
    rig.function("large", 4, 2)
    rig.function("later", 1, 1000)
    begun = rig.run(60.0)
    assert begun["large"] >= 1


def test_all_get_their_turn() -> None:
    rig = Busy()
    for name in ("a", "b", "c"):
        rig.function(name, 4, 1000)
    begun = rig.run(300.0)
    assert min(begun.values()) > 30


def test_what_is_there_at_least_is_not_taken_away() -> None:
    rig = Busy()
    rig.function("kept", 4, 1000, Scaling(min_containers=1))
    rig.run(5.0)
    rig.function("other", 1, 10)
    assert rig.run(100.0)["other"] == 0


def test_a_function_that_runs_already_takes_no_room_from_busy_ones() -> None:
    rig = Busy()
    rig.function("one", 2, 1000)
    rig.run(2.0)
    rig.function("two", 1, 1000)
    rig.run(100.0)
    owners = [c.function.spec.tag for c in rig.dispatcher.core.workers[WORKER].containers.values()]
    assert "one" in owners or "two" in owners
    before = dict(rig.owner)
    rig.run(50.0)
    assert rig.owner == before, "no container was replaced by another"


def test_later_and_smaller_ones_may_have_what_the_first_in_the_line_can_spare() -> None:
    rig = Busy()
    rig.function("holds", 3, 1000, Scaling(max_containers=1))
    rig.run(2.0)
    rig.function("large", 2, 1, Scaling(max_containers=1))
    rig.function("small", 1, 5, Scaling(max_containers=1))
    assert rig.run(10.0)["small"] == 5


def test_who_waits_no_longer_holds_the_others_up_no_more() -> None:
    rig = Busy()
    rig.function("hold", 2, 1)
    rig.start_all()
    rig.function("large", 4, 1)
    rig.function("small", 1, 1)
    rig.wait(1.0)
    assert rig.get(Start) == []
    rig.dispatcher.cancel_call(rig.now, rig.calls["large"])
    rig.after()
    rig.wait(1.0)
    assert [start.function_id for start in rig.get(Start)] == ["fu-small"]


def test_a_container_that_starts_for_nothing_any_more_makes_room() -> None:
    rig = Busy()
    rig.function("slow", 4, 1)
    rig.function("other", 4, 1)
    rig.wait(1.0)
    (starting,) = rig.get(Start)
    assert rig.get(Stop) == []
    rig.dispatcher.cancel_call(rig.now, rig.calls["slow"])
    rig.after()
    rig.wait(1.0)
    assert [stop.number for stop in rig.get(Stop)] == [starting.number]


def test_a_container_that_starts_is_kept_where_it_is_the_least_that_is_wanted() -> None:
    rig = Busy()
    rig.function("kept", 4, 1, Scaling(min_containers=1))
    rig.function("other", 4, 1)
    rig.wait(1.0)
    rig.dispatcher.cancel_call(rig.now, rig.calls["kept"])
    rig.after()
    rig.wait(1.0)
    assert rig.get(Stop) == []
