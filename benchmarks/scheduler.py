"""What a decision costs with 10 to 10,000 containers: `python -m benchmarks.scheduler [docs/scheduler.svg]`.

On workers of 16 containers each: the dispatcher's own time for a start, from none to all containers ready; then, with
every container busy with inputs of 100 ms, for an input, from its arrival to the confirmation of its result, the
autoscaler's looks included. No process and no network: the decisions alone, as the simulation drives them.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from math import log10
from pathlib import Path

from ionian.core.actions import Deliver, Run, Start
from ionian.core.dispatcher import Dispatcher
from ionian.protocol.batch import Batch
from ionian.protocol.spec import FunctionSpec, Resources, Scaling
from ionian.protocol.workers import Capacity, ContainerState

CALL = "fc-" + "0" * 26
INPUT_S = 0.1
ON_A_WORKER = 16
SIZES = (10, 100, 1_000, 10_000)


class Bench:
    """A dispatcher with so many busy containers."""

    def __init__(self, containers: int) -> None:
        self.containers = containers
        self.now = self.spent = 0.0
        self.dispatcher = Dispatcher(epoch=1)
        for number in range(-(-containers // ON_A_WORKER)):
            capacity = Capacity(ON_A_WORKER * 1000, ON_A_WORKER * 128)
            self.dispatcher.worker_joined(0.0, f"wo-{number}", capacity)
        spec = FunctionSpec("fu-1", "f", "m", "f", resources=Resources(1000))
        spec.scaling = Scaling(min_containers=containers, max_containers=containers)
        self.dispatcher.add_function(0.0, spec, "ap-1", "main")
        self.runs: deque[tuple[str, Batch]] = deque()
        self.delivered: list[Batch] = []
        self.seq = self.sent = 0
        started = 0
        begin = time.process_time()
        while started < containers:
            self.now += 0.05
            self.dispatcher.tick(self.now)
            for action in self.dispatcher.take():
                if isinstance(action, Start):
                    started += 1
                    ready = ContainerState(action.number, "ready")
                    self.dispatcher.container_state(self.now, action.worker_id, ready)
        self.start_us = (time.process_time() - begin) / containers * 1e6
        self.dispatcher.open_call(self.now, CALL, "fu-1", "cl-1")
        self.put(containers + 100)

    def put(self, count: int) -> None:
        """Inputs arrive."""
        batch = Batch(CALL, list(range(self.sent, self.sent + count)), [8] * count, bytes(8 * count))
        self.sent += count
        self.dispatcher.put(self.now, batch)
        self.carry_out()

    def carry_out(self) -> None:
        """What was decided."""
        for action in self.dispatcher.take():
            if isinstance(action, Run):
                self.runs.append((action.worker_id, action.batch))
            elif isinstance(action, Deliver):
                self.delivered.append(action.batch)

    def step(self) -> int:
        """The longest running input ends, another arrives; returns how many ended."""
        worker_id, run = self.runs.popleft()
        self.now += INPUT_S / self.containers
        self.seq += 1
        count = len(run)
        result = Batch(CALL, list(run.index), [8] * count, bytes(8 * count), attempt=list(run.attempt),
                       micros=[int(INPUT_S * 1e6)] * count, container=run.container, seq=self.seq)  # fmt: skip
        begin = time.process_time()
        self.dispatcher.results(self.now, worker_id, result)
        if (when := self.dispatcher.next_tick()) is not None and when <= self.now:
            self.dispatcher.tick(self.now)
        self.carry_out()
        self.put(count)
        self.dispatcher.confirm(self.now, "cl-1", self.delivered[-1].seq)
        self.carry_out()
        self.spent += time.process_time() - begin
        self.delivered.clear()
        return count


def measure(containers: int, inputs: int) -> tuple[float, float]:
    """Microseconds a start and microseconds an input: the best of three, where others use the machine, too."""
    benches = [Bench(containers) for _ in range(3)]
    costs: list[float] = []
    for bench in benches:
        done = 0
        while done < inputs:
            done += bench.step()
        costs.append(bench.spent / done * 1e6)
    return min(bench.start_us for bench in benches), min(costs)


WIDTH, HEIGHT, LEFT, BOTTOM = 560, 290, 50, 230


def picture(points: list[tuple[int, float, float]]) -> str:
    """The points as an SVG: containers to the right, by powers of ten; microseconds upwards."""
    most = max(max(start, cost) for _, start, cost in points) * 1.25
    starts = _line([(n, start) for n, start, _ in points], most, "#d97706", "a start")
    inputs = _line([(n, cost) for n, _, cost in points], most, "#2563eb", "an input")
    names = "".join(
        f'<text x="{_x(n):.0f}" y="{BOTTOM + 18}" text-anchor="middle">{n:,}</text>' for n, _, _ in points
    )
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>'
        f'<path d="M{LEFT} {BOTTOM}H{WIDTH - 20}M{LEFT} {BOTTOM}V30" stroke="grey"/>{starts}{inputs}{names}'
        f'<text x="{WIDTH / 2:.0f}" y="{HEIGHT - 10}" text-anchor="middle">containers</text>'
        f'<text x="{LEFT}" y="20">time of the dispatcher, µs</text></svg>\n'
    )


def _x(containers: int) -> float:
    return LEFT + 30 + (WIDTH - LEFT - 130) * (log10(containers) - 1) / 3


def _line(points: list[tuple[int, float]], most: float, colour: str, name: str) -> str:
    places = [(_x(n), BOTTOM - (BOTTOM - 30) * cost / most, cost) for n, cost in points]
    line = " ".join(f"{x:.0f},{y:.0f}" for x, y, _ in places)
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{y:.0f}" r="3" fill="{colour}"/>'
        f'<text x="{x:.0f}" y="{y - 8:.0f}" text-anchor="middle">{cost:.0f}</text>'
        for x, y, cost in places
    )
    x, y, _ = places[-1]
    label = f'<text x="{x + 14:.0f}" y="{y + 4:.0f}" fill="{colour}">{name}</text>'
    return f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>{marks}{label}'


def main(path: str = "") -> None:
    """Measures, prints, and draws where a path is given."""
    points: list[tuple[int, float, float]] = []
    for containers in SIZES:
        start, cost = measure(containers, max(10_000, 2 * containers))
        points.append((containers, start, cost))
        print(f"{containers:>6,} containers: {start:.0f} µs a start, {cost:.1f} µs an input", flush=True)
    if path:
        Path(path).write_text(picture(points))


if __name__ == "__main__":
    main(*sys.argv[1:])
