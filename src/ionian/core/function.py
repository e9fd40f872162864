"""A function: its calls that wait, its containers, and what was learned of both."""

from __future__ import annotations

from collections import deque
from math import inf

from ..protocol.spec import FunctionSpec
from .autoscaler import Load
from .call import Call
from .worker import Container, State


def runs_several(spec: FunctionSpec) -> bool:
    """Whether its containers have several inputs at once, or take them in batches."""
    return (spec.concurrency.max_inputs > 1 or spec.batching is not None) and not spec.single_use


class Function:
    """One function of an app."""

    __slots__ = (
        "alone",
        "app_id",
        "containers",
        "crashes",
        "dropped",
        "environment",
        "failures",
        "generation",
        "idle",
        "next_scale",
        "open",
        "over",
        "pace_s",
        "queued",
        "reaping",
        "removed",
        "retry_at",
        "ring",
        "running",
        "scaled_at",
        "shares",
        "spec",
        "trouble",
        "watching",
    )  # fmt: skip

    def __init__(self, spec: FunctionSpec, app_id: str, environment: str) -> None:
        self.spec = spec
        self.shares = runs_several(spec)
        self.generation = 0  # its containers of an earlier one are retired
        self.alone = 0  # inputs that wait and must run alone in a container
        self.dropped = b""  # a deploy dropped it: the failure of whatever still comes
        self.crashes = 0  # rounds of starts that failed, while nobody waited for them
        self.app_id = app_id
        self.environment = environment
        self.ring: deque[Call] = deque()  # calls with inputs that wait: served in turn
        self.queued = 0  # inputs that wait in them
        self.running = 0  # inputs that containers have
        self.containers: dict[Container, None] = {}
        self.idle: dict[Container, None] = {}  # ready and empty, longest idle first
        self.open: dict[Container, None] = {}  # busy, with room for a batch
        self.pace_s = -1.0  # a container's time for one input, all its overhead included
        self.failures = 0  # starts that failed one after the other
        self.retry_at = 0.0
        self.removed = False
        self.over = (
            0  # containers that it had when it was told to have others: perhaps more than it may have now
        )
        self.trouble = ""  # why its last container did not start
        self.scaled_at = -1.0
        self.next_scale = inf  # when the autoscaler looks again
        self.watching = self.reaping = False  # a timer is set

    def count(self, state: State) -> int:
        """How many containers are in a state."""
        return sum(container.state is state for container in self.containers)

    def load(self, now: float) -> Load:
        """What the autoscaler looks at.

        What was measured may no longer hold: where every busy container has been at its input for longer,
        an input takes at least that long. What is out of reach is neither work nor help.
        """
        busy = running = 0  # `self.running` lacks what is of calls that nobody has opened again
        least = inf
        aim, by_pace = self.aim()
        for container in self.containers:
            if not container.outstanding:
                continue
            if not container.worker.absent(now):
                busy += 1
                # A batch that has begun takes no more, though it may be short.
                full = container.slowed and container.batches
                running += max(container.outstanding, aim) if full else container.outstanding
                least = min(least, now - container.progress_at)
        pace_s = self.pace_s
        if pace_s >= 0 and busy:
            pace_s = max(pace_s, least)
        return Load(self.queued, running, busy, pace_s, aim, by_pace)

    def aim(self) -> tuple[int, bool]:
        """How many inputs a container should have, and whether quick ones may share fewer containers."""
        spec = self.spec
        if not self.shares:
            return 1, True
        several = spec.concurrency.max_inputs > 1
        aim = spec.concurrency.target_inputs or spec.concurrency.max_inputs
        if spec.batching is not None:
            aim *= spec.batching.max_batch_size
        return max(1, aim), not several

    def learn(self, seconds: float) -> None:
        """An input took this much of a container's time."""
        self.pace_s = seconds if self.pace_s < 0 else 0.7 * self.pace_s + 0.3 * seconds

    def next_container(self) -> Container | None:
        """The one that is given the next inputs."""
        if self.shares and self.open:
            last = next(reversed(self.open))
            if last.outstanding < last.least:
                return last  # it collects a batch
        if self.idle:
            return self.idle.popitem()[0]  # the last used: its caches are warm, others may end
        return next(iter(self.open), None)

    def place(self, container: Container, now: float) -> None:
        """Puts a container where the next input finds it, by what it has and may have."""
        if not container.outstanding and container.room():
            self.open.pop(container, None)
            if container not in self.idle:
                container.idle_since = now
                self.idle[container] = None
            return
        self.idle.pop(container, None)
        if container.outstanding and container.room():
            if self.shares:
                self.open.pop(container, None)  # in turn, so that all have equally much
            self.open[container] = None
        else:
            self.open.pop(container, None)

    def forget(self, container: Container) -> None:
        """A container is not there any more."""
        self.containers.pop(container, None)
        self.idle.pop(container, None)
        self.open.pop(container, None)
