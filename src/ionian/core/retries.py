"""Inputs that failed and are tried again, by the policy of their function.

What counts is a result that is an exception, a timeout, and the death of a container that ran the input. What was
lost with a worker, interrupted by us or run elsewhere is run again without being counted.
"""

from __future__ import annotations

from ..protocol.spec import RetryPolicy
from .actions import Tried
from .call import Call
from .flow import Flow
from .state import Core
from .worker import Container


def delay_s(policy: RetryPolicy, retries: int) -> float:
    """How long an input waits before it is tried again, after so many retries."""
    try:
        delay = policy.initial_delay_s * policy.backoff_coefficient**retries
    except OverflowError:
        delay = policy.max_delay_s
    return max(0.0, min(delay, policy.max_delay_s))


class Retries:
    """Decides whether a failed input is tried again, and waits for it."""

    def __init__(self, core: Core, flow: Flow) -> None:
        self.core = core
        self.flow = flow
        self._due: dict[tuple[Call, float], list[int]] = {}  # what becomes due together

    def left(self, call: Call, index: int) -> bool:
        """Whether an input that fails now is tried again."""
        policy = call.function.spec.retries
        if policy is None or call.closed or call.function.removed or call.function.dropped:
            return False
        return call.retries.get(index, 0) < policy.max_retries and index not in call.yielded

    def again(self, now: float, call: Call, index: int, attempt: int) -> bool:
        """An input failed in `attempt`: whether it is tried again, and so has not ended.

        It is off its container and the queue by now.
        """
        policy = call.function.spec.retries
        if policy is None or not self.left(call, index):
            return False
        used = call.retries.get(index, 0)
        call.retries[index] = used + 1
        due = now + delay_s(policy, used)
        waits = call.delay(index, attempt, due)
        self.core.actions.append(Tried(call.caller.id, call.id, index, used + 1, call.attempts[index]))
        if waits:
            together = self._due.get((call, due))
            if together is None:
                together = self._due[call, due] = []
                self.core.timers.at(due, lambda then: self._queue(then, call, due))
            together.append(index)
        return True

    def again_held(self, now: float, container: Container, call: Call, index: int) -> bool:
        """Like `again`, of an input that a container had: it ran over its time, or its container died of it."""
        if not self.left(call, index) or not container.drop(call.id, {index}):
            return False
        call.running -= 1
        call.function.running -= 1
        return self.again(now, call, index, call.attempt(index))

    def _queue(self, now: float, call: Call, due: float) -> None:
        indexes = self._due.pop((call, due), [])
        if call.closed or self.core.calls.get(call.id) is not call:
            return
        waiting = call.due(indexes)
        if waiting and not call.held_back:
            self.flow.queue(call, waiting)
            self.flow.fill(now, call.function)
