"""A lock whose waiters have it in the order in which they came."""

from __future__ import annotations

import threading
from collections import deque


class Turns:
    """Used by `with`. A thread that lets go of a plain lock and wants it again at once nearly always gets it: the writer
    of spawned calls kept a deploy waiting for seconds."""

    def __init__(self) -> None:
        self._guard = threading.Lock()  # over the two below; held for a moment
        self._held = False
        self._waiting: deque[threading.Lock] = deque()  # each is locked until it is its owner's turn

    @property
    def waiting(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def __enter__(self) -> None:
        with self._guard:
            if not self._held:
                self._held = True
                return
            turn = threading.Lock()
            turn.acquire()
            self._waiting.append(turn)
        turn.acquire()

    def __exit__(self, *_: object) -> None:
        with self._guard:
            if self._waiting:
                self._waiting.popleft().release()
            else:
                self._held = False
