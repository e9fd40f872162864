"""A function: its calls that wait, its containers, and what was learned of both."""

from __future__ import annotations

from collections import deque
from math import inf

from ..protocol.spec import FunctionSpec
from .autoscaler import Load
from .call import Call
from .worker import Container, State


class Function:
    """One function of an app."""

    __slots__ = (
        "app_id",
        "containers",
        "environment",
        "failures",
        "idle",
        "next_scale",
        "open",
        "pace_s",
        "queued",
        "reaping",
        "removed",
        "retry_at",
        "ring",
        "running",
        "scaled_at",
        "spec",
        "waiting_for",
        "watching",
    )  # fmt: skip

    def __init__(self, spec: FunctionSpec, app_id: str, environment: str) -> None:
        self.spec = spec
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
        self.waiting_for = ""
        self.scaled_at = -1.0
        self.next_scale = inf  # when the autoscaler looks again
        self.watching = self.reaping = False  # a timer is set

    def count(self, state: State) -> int:
        """How many containers are in a state."""
        return sum(container.state is state for container in self.containers)

    def load(self, now: float) -> Load:
        """What the autoscaler looks at.

        What was measured may no longer hold: where every busy container has been at its input for longer,
        an input takes at least that long.
        """
        busy = [container for container in self.containers if container.outstanding]
        pace_s = self.pace_s
        if pace_s >= 0 and busy:
            pace_s = max(pace_s, min(now - container.progress_at for container in busy))
        return Load(self.queued, self.running, len(busy), pace_s)

    def learn(self, seconds: float) -> None:
        """An input took this much of a container's time."""
        self.pace_s = seconds if self.pace_s < 0 else 0.7 * self.pace_s + 0.3 * seconds

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
            self.open[container] = None
        else:
            self.open.pop(container, None)

    def forget(self, container: Container) -> None:
        """A container is not there any more."""
        self.containers.pop(container, None)
        self.idle.pop(container, None)
        self.open.pop(container, None)
