"""What a decision costs with 10 to 10,000 busy containers: `python -m tests.simulation.flat [picture.svg]`.

Every container runs inputs of 100 ms one by one on workers of 16 containers each; measured is the dispatcher's own time
for an input, from its arrival to the confirmation of its result, the autoscaler's looks included.
"""

from __future__ import annotations

import sys
import time
from collections import deque
from pathlib import Path

from ionian.core.actions import Deliver, Run, Start
from ionian.core.dispatcher import Dispatcher
from ionian.protocol.batch import Batch
from ionian.protocol.spec import FunctionSpec, Resources, Scaling
from ionian.protocol.workers import Capacity, ContainerState

CALL = "fc-" + "0" * 26
INPUT_S = 0.1
ON_A_WORKER = 16
SIZES = (10, 30, 100, 300, 1_000, 3_000, 10_000)


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
        while started < containers:
            self.now += 0.05
            self.dispatcher.tick(self.now)
            for action in self.dispatcher.take():
                if isinstance(action, Start):
                    started += 1
                    ready = ContainerState(action.number, "ready")
                    self.dispatcher.container_state(self.now, action.worker_id, ready)
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


def measure(containers: int, inputs: int = 30_000) -> float:
    """Microseconds an input."""
    bench = Bench(containers)
    done = 0
    while done < inputs:
        done += bench.step()
    return bench.spent / done * 1e6


def picture(points: list[tuple[int, float]]) -> str:
    """The points as an SVG: containers to the right, by powers of ten; microseconds upwards."""
    most = max(cost for _, cost in points) * 1.25
    places = [(60 + 130 * (len(str(n)) - 2 + (0.477 if str(n)[0] == "3" else 0)), cost) for n, cost in points]
    line = " ".join(f"{x:.0f},{220 - 180 * cost / most:.0f}" for x, cost in places)
    marks = "".join(
        f'<circle cx="{x:.0f}" cy="{220 - 180 * cost / most:.0f}" r="3"/>'
        f'<text x="{x:.0f}" y="{210 - 180 * cost / most:.0f}" text-anchor="middle">{cost:.1f}</text>'
        f'<text x="{x:.0f}" y="240" text-anchor="middle">{n:,}</text>'
        for (x, cost), (n, _) in zip(places, points, strict=True)
    )
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 520 270" font-family="sans-serif" font-size="11">'
        '<rect width="520" height="270" fill="white"/><path d="M40 220H500M40 220V30" stroke="grey"/>'
        f'<polyline points="{line}" fill="none" stroke="#2563eb" stroke-width="2"/>{marks}'
        '<text x="260" y="262" text-anchor="middle">busy containers</text>'
        '<text x="40" y="20">dispatcher time for an input, µs</text></svg>\n'
    )


def main(path: str = "") -> None:
    """Measures, prints, and draws where a path is given."""
    points: list[tuple[int, float]] = []
    for containers in SIZES:
        cost = min(measure(containers) for _ in range(3))
        points.append((containers, cost))
        print(f"{containers:>6,} containers: {cost:.1f} µs an input", flush=True)
    if path:
        Path(path).write_text(picture(points))


if __name__ == "__main__":
    main(*sys.argv[1:])
