"""What the worker tells by a signal: SIGUSR1, that an input is to be interrupted, SIGTERM, that the container ends."""

from __future__ import annotations

import _signal  # pyright: ignore[reportMissingImports]
import signal
from collections.abc import Generator
from contextlib import contextmanager
from typing import Protocol

CANCEL, STOP, INTERRUPT = map(int, (signal.SIGUSR1, signal.SIGTERM, signal.SIGINT))


class Interruptible(Protocol):
    """What runs inputs."""

    def cancel(self, *_: object) -> None:
        """Looks into the slots, which say what is to be interrupted. Called on the main thread, between two of its
        steps; may raise there."""

    def stop(self, *_: object) -> None:
        """Interrupts everything. Called as `cancel` is."""


@contextmanager
def leading_to(runner: Interruptible) -> Generator[None]:
    """Has the signals interrupt this runner's inputs. From the end on they, and SIGINT, are ignored: what runs then is
    the user's cleanup, which nothing interrupts before the worker kills it. Before, SIGUSR1 can't come, and SIGTERM ends
    the process as it would any other."""
    # Not by signal's own, which looks for an enum of each: a fork pays for that with a page each.
    _signal.signal(CANCEL, runner.cancel)
    _signal.signal(STOP, runner.stop)
    try:
        yield
    finally:
        for number in (CANCEL, STOP, INTERRUPT):
            _signal.signal(number, _signal.SIG_IGN)
