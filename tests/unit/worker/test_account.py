"""What a container used, told apart by what it was used for."""

from __future__ import annotations

from typing import Any

import pytest

from ionian.protocol.batch import Batch
from ionian.protocol.slots import Run
from ionian.protocol.spec import ClassSpec, Concurrency, FunctionSpec, MethodSpec, Resources
from ionian.protocol.usage import Amounts, Line, Reading
from ionian.protocol.workers import StartContainer
from ionian.worker.account import CALLS_KEPT, CALLS_TOLD, Account
from ionian.worker.sandbox import ResourceUse

GIB_S = 0.25


class Metered:
    """A container with half a core and a quarter of a GiB kept free for it, which starts at 100 s and is ready at 102 s."""

    def __init__(self, *, line: Line | None = None, gpus: int = 0, **fields: Any) -> None:
        function = FunctionSpec("fu-1", "f", "m", "f", resources=Resources(500), **fields)
        ask = StartContainer(1, "ta-1", "ap-1", "main", function, devices=["gpu"] * gpus)
        self.use = ResourceUse()
        self.now = 100.0
        self.account = Account(ask, "ta-1", "H100", self.now, line=line)
        if line is None:
            self.cut(102.0)
            self.account.ready()

    def cut(self, now: float, *running: Run, cpu_s: float = 0.0, look: bool = False) -> None:
        """Up to now it used so many core-seconds more, and what was kept free for it."""
        passed, self.now = now - self.now, now
        before = self.use
        self.use = ResourceUse(
            before.cpu_s + cpu_s,
            0,
            0,
            before.memory_gib_s + passed * GIB_S / 2,
            before.charged_cpu_s + max(cpu_s, passed * 0.5),
            before.charged_memory_gib_s + passed * GIB_S,
        )
        self.account.cut(self.use, running, now)

    def lines(self) -> dict[Line, Amounts]:
        return self.account.take().lines


def run(call_id: str, since_s: float, index: int = 0) -> Run:
    return 0, int(since_s * 1e9), call_id, index


def results(call_id: str, *seconds: float, first: int = 0) -> Batch:
    count = len(seconds)
    micros = [int(each * 1e6) for each in seconds]
    return Batch(call_id, list(range(first, first + count)), [0] * count, b"", micros=micros)


def total(lines: dict[Line, Amounts]) -> Amounts:
    found = Amounts()
    for used in lines.values():
        found.add(used)
    return found


def test_until_it_is_ready_all_is_its_start() -> None:
    lines = Metered(gpus=2).lines()
    assert lines == {"startup": Amounts(2.0, 1.0, 0.5, 4.0, 0.0, 0.25)}


def test_what_was_kept_free_is_shared_out_by_time() -> None:
    box = Metered()
    box.account.take()
    box.account.ran(results("fc-a", 2.0, 0.5))
    box.cut(112.0)
    lines = box.lines()
    assert (lines["calls"].wall_s, lines["calls"].cpu_s) == pytest.approx((2.5, 1.25))
    assert (lines["idle"].wall_s, lines["idle"].cpu_s) == pytest.approx((7.5, 3.75))
    assert lines["calls"].memory_gib_s == pytest.approx(2.5 * GIB_S)


def test_what_was_used_beyond_it_is_the_calls() -> None:
    box = Metered()
    box.account.take()
    box.account.ran(results("fc-a", 5.0))
    box.cut(112.0, cpu_s=8.0)
    lines = box.lines()
    assert lines["calls"].cpu_s == pytest.approx(5 * 0.5 + 3.0)
    assert lines["idle"].cpu_s == pytest.approx(2.5)
    assert (lines["calls"].used_cpu_s, lines["idle"].used_cpu_s) == pytest.approx((8.0, 0.0))


def test_what_an_idle_container_uses_is_idle() -> None:
    box = Metered()
    box.account.take()
    box.cut(112.0, cpu_s=8.0)
    lines = box.lines()
    assert "calls" not in lines
    assert lines["idle"].cpu_s == pytest.approx(8.0)


def test_an_input_that_runs_on_counts_in_each_stretch_once() -> None:
    box = Metered()
    box.account.take()
    box.cut(112.0, run("fc-a", 105.0))
    assert box.lines()["calls"].wall_s == pytest.approx(7.0)
    box.cut(122.0, run("fc-a", 105.0))
    assert box.lines()["calls"].wall_s == pytest.approx(10.0)
    box.account.ran(results("fc-a", 20.0))  # it ended at 125
    box.cut(132.0)
    assert box.lines()["calls"].wall_s == pytest.approx(3.0)


def test_a_result_that_comes_a_moment_after_the_reading_counts_once() -> None:
    """The input has ended, and its result is on its way."""
    box = Metered()
    box.account.take()
    box.cut(112.0, run("fc-a", 105.0))
    box.account.take()
    box.cut(113.0)
    box.account.ran(results("fc-a", 7.5))
    box.cut(122.0)
    assert box.lines()["calls"].wall_s == pytest.approx(0.5)


def test_the_sum_of_the_lines_is_what_was_used() -> None:
    box = Metered(gpus=1)
    box.account.ran(results("fc-a", 1.0, 0.25))
    box.cut(105.0, cpu_s=3.0)
    box.account.ran(results("fc-b", 100.0))  # user code may say anything
    box.cut(109.0, run("fc-c", 108.5), cpu_s=0.1)
    box.cut(120.0, cpu_s=0.2)
    lines = box.lines()
    assert set(lines) == {"startup", "calls", "idle"}
    use = box.use
    expected = (20.0, use.charged_cpu_s, use.charged_memory_gib_s, 20.0, use.cpu_s, use.memory_gib_s)
    found = total(lines)
    assert (
        found.wall_s,
        found.cpu_s,
        found.memory_gib_s,
        found.gpu_s,
        found.used_cpu_s,
        found.used_memory_gib_s,
    ) == pytest.approx(expected)


def test_calls_have_their_shares_of_the_time() -> None:
    box = Metered()
    box.account.ran(results("fc-a", 1.0, 1.0))
    box.account.ran(results("fc-b", 2.0))
    box.cut(112.0)
    box.account.ran(results("fc-a", 4.0))
    box.cut(122.0)
    assert box.account.take().calls == pytest.approx({"fc-a": 0.75, "fc-b": 0.25})


def test_of_very_many_calls_those_are_told_that_took_most() -> None:
    box = Metered()
    box.account.ran(results("fc-long", 2.0))
    for number in range(2 * CALLS_KEPT):
        box.account.ran(results(f"fc-{number}", 0.0001))
    box.cut(112.0)
    reading = box.account.take()
    assert len(reading.calls) < CALLS_TOLD
    whole = reading.lines["calls"].wall_s
    assert whole == pytest.approx(2.0 + 2 * CALLS_KEPT * 0.0001)
    assert reading.calls["fc-long"] == pytest.approx(2.0 / whole)


@pytest.mark.parametrize(
    "fields",
    [
        {"is_generator": True},
        {"concurrency": Concurrency(8)},
        {"class_spec": ClassSpec([MethodSpec("one"), MethodSpec("items", is_generator=True)])},
    ],
)
def test_where_results_do_not_say_how_long_they_took_it_is_looked(fields: dict[str, Any]) -> None:
    box = Metered(**fields)
    box.account.take()
    box.account.ran(results("fc-a", 9.0))
    assert box.account.looks
    box.account.look([], 102.0)
    for tenth in range(1, 21):
        box.account.look([run("fc-a", 102.0), run("fc-b", 102.0, 7)], 102.0 + tenth / 10)
    box.account.look([], 104.1)
    box.cut(112.0)
    reading = box.account.take()
    assert reading.lines["calls"].wall_s == pytest.approx(2.0)
    assert reading.calls == pytest.approx({"fc-a": 0.5, "fc-b": 0.5})


def test_a_worker_that_did_not_look_for_long_takes_a_second_to_have_been_so() -> None:
    box = Metered(is_generator=True)
    box.account.take()
    box.account.look([], 102.0)
    box.account.look([run("fc-a", 111.0)], 112.0)
    box.cut(112.0)
    assert box.lines()["calls"].wall_s == pytest.approx(1.0)


def test_what_takes_no_inputs_is_on_one_line() -> None:
    box = Metered(line="shells")
    box.account.ready()
    box.cut(110.0, cpu_s=20.0)
    assert box.lines() == {"shells": Amounts(10.0, 20.0, 10 * GIB_S, 0.0, 20.0, 10 * GIB_S / 2)}


def test_a_template_has_no_cards() -> None:
    box = Metered(line="templates", gpus=1)
    box.cut(110.0)
    assert box.lines()["templates"].gpu_s == 0.0


def test_a_reading_is_of_what_came_since_the_last_one() -> None:
    box = Metered()
    first: Reading = box.account.take()
    assert (first.id, first.function_id, first.root_id, first.tag) == ("ta-1", "fu-1", "fu-1", "f")
    assert (box.account.take().lines, box.account.take().calls) == ({}, {})


def test_a_start_that_is_begun_again_forgets_the_first() -> None:
    box = Metered()
    box.account.begin(110.0)
    box.account.cut(ResourceUse(charged_cpu_s=0.5), (), 111.0)
    assert box.lines() == {"startup": Amounts(1.0, 0.5)}
