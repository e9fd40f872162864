"""Why nothing runs: said when it has been so for a few seconds, once, and again when the reason is another."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from .screen import Row, Screen
from .words import duration

PATIENCE_S = 3.0
"""A cold start takes less, and needs no words."""

SETTLE_S = 1.0
"""Another reason is worth a line when it lasts this long: most follow one another within a moment."""


@dataclass
class _Reason:
    since: float
    text: str
    said: str = ""  # its kind
    timer: threading.Timer | None = None


class Waiting:
    """The functions whose inputs wait while none of them runs: a live row each, or lines in a pipe."""

    def __init__(
        self, screen: Screen, say: Callable[[str, str], None], patience_s: float = PATIENCE_S
    ) -> None:
        self._screen = screen
        self._say = say
        self._patience_s = patience_s
        self._settle_s = min(SETTLE_S, patience_s)
        self._reasons: dict[str, _Reason] = {}
        self._lock = threading.Lock()

    def update(self, function_id: str, name: str, text: str) -> None:
        """Why inputs of a function wait now; "" where they don't."""
        text = f"{name} waits: {text}" if text else ""
        with self._lock:
            reason = self._reasons.get(function_id)
            if not text:
                self._forget(function_id)
            elif reason is None:
                self._begin(function_id, _Reason(time.monotonic(), text))
            else:
                reason.text = text
                if reason.said and reason.said != _kind(text) and reason.timer is None:
                    self._soon(self._settle_s, function_id, reason)

    def clear(self) -> None:
        """Nothing waits any more."""
        with self._lock:
            for function_id in list(self._reasons):
                self._forget(function_id)

    def _begin(self, function_id: str, reason: _Reason) -> None:
        self._reasons[function_id] = reason
        if self._screen.live:
            self._screen.show(f"waiting {function_id}", lambda: self._row(reason))
            return
        self._soon(self._patience_s, function_id, reason)

    def _soon(self, seconds: float, function_id: str, reason: _Reason) -> None:
        reason.timer = threading.Timer(seconds, self._due, (function_id, reason))
        reason.timer.daemon = True
        reason.timer.start()

    def _forget(self, function_id: str) -> None:
        reason = self._reasons.pop(function_id, None)
        if reason is None:
            return
        self._screen.drop(f"waiting {function_id}")
        if reason.timer is not None:
            reason.timer.cancel()

    def _due(self, function_id: str, reason: _Reason) -> None:
        with self._lock:
            reason.timer = None
            if self._reasons.get(function_id) is reason and reason.said != _kind(reason.text):
                reason.said = _kind(reason.text)
                self._say(reason.text, "yellow")

    def _row(self, reason: _Reason) -> Row | None:
        waited = time.monotonic() - reason.since
        return Row(reason.text, detail=duration(waited)) if waited >= self._patience_s else None


def _kind(text: str) -> str:
    """A reason without its figures: how long it is so, and the place in the queue, change all the time."""
    return re.sub(r"[0-9]+(?:[.,][0-9]+)*", "#", text)
