"""Inputs of a container that nobody wants any more: they are interrupted, and the container killed where that fails."""

from __future__ import annotations

from collections.abc import Callable

from ..protocol.slots import LEFT_ALONE
from .feed import Feed

Input = tuple[str, int]  # call id, index


class Cancellations:
    """Asks for the end of inputs until they have ended. An input that the container has claimed and not begun can't be
    found in its slots; it is asked for as soon as it runs."""

    def __init__(self, signal: Callable[[], None]) -> None:
        self._signal = signal
        self._until: dict[Input, float] = {}  # when its grace is over

    def add(self, call_id: str, indexes: list[int], until: float) -> None:
        """These inputs are to end by then."""
        for index in indexes:
            self._until.setdefault((call_id, index), until)

    def check(self, feed: Feed, now: float) -> Input | None:
        """Asks for the end of those that run, with one signal for all; returns one whose grace is over."""
        wanted = self._until
        for key in [key for key in wanted if not feed.holds(*key)]:
            del wanted[key]
        if not wanted:
            return None
        unseen = False
        for run in feed.runs():
            key = run[2:]
            if key in wanted:
                answer = feed.ask(run)
                if answer == LEFT_ALONE:
                    del wanted[key]
                unseen = unseen or answer not in (run[1], LEFT_ALONE)
        if unseen:
            self._signal()
        return next((key for key, until in wanted.items() if now > until), None)
