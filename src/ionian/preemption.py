"""A preemption, played: what a program does when its container is taken away can be tried out."""

from __future__ import annotations

import signal
from typing import Any

GRACE_S = 30.0
"""From the first interrupt to the second, which stands for the kill."""

SHORTEST_S, LONGEST_S = 0.001, 86_400.0


def simulate_preemption(wait_seconds: int, jitter_seconds: int = 0) -> None:
    """Interrupts this function after `wait_seconds`, as if its container were taken away.

    `KeyboardInterrupt` is raised in it; what it then does has 30 seconds until it is raised again. In a container the input
    has no result and is run again in another one, and the container ends: no retry is counted. Elsewhere the exception is all.

    ```python
    modal.exception.simulate_preemption(3)
    try:
        train()
    except KeyboardInterrupt:
        save_checkpoint()
        raise
    ```

    Args:
        wait_seconds: a millisecond to a day.
        jitter_seconds: up to so many seconds are added by chance.

    Raises InvalidError for a wrong argument, and ValueError in a thread: the main thread alone is interrupted.
    """
    import random

    from .arguments import number

    wait = number("wait_seconds", wait_seconds, least=SHORTEST_S, most=LONGEST_S, unit="seconds")
    jitter = number("jitter_seconds", jitter_seconds, least=0, most=LONGEST_S, unit="seconds")
    signal.signal(signal.SIGALRM, _preempt)
    signal.setitimer(signal.ITIMER_REAL, wait + random.uniform(0, jitter))


def _preempt(number: int, frame: Any) -> None:
    from .execution import is_local

    signal.setitimer(signal.ITIMER_REAL, GRACE_S)
    stop = signal.SIG_DFL if is_local() else signal.getsignal(signal.SIGTERM)
    if stop == signal.SIG_IGN:
        return  # the container runs what it has for its end
    if callable(stop):
        stop(signal.SIGTERM, frame)  # as the worker stops a container
    else:
        raise KeyboardInterrupt("the preemption that simulate_preemption() was asked for")
