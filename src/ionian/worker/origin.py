"""How a container came to be: from a template or afresh, and how long each part of its start took."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from ..protocol.workers import Start, StartKind


@dataclass
class Origin:
    """Kept while a container starts; `told()` is what the server hears of it."""

    kind: StartKind = "fresh"
    why_fresh: str = ""
    fallback: str = ""  # why a fork of a template did not do, where one was tried
    parts: dict[str, float] = field(default_factory=dict[str, float])
    clock: Callable[[], float] = time.monotonic

    def __post_init__(self) -> None:
        self._since = self.clock()

    def part(self, name: str) -> None:
        """A part of the start is over: what passed since the part before it is its time."""
        now = self.clock()
        self.parts[name] = self.parts.get(name, 0.0) + now - self._since
        self._since = now

    def inside(self, said: Any) -> None:
        """The container is ready, and says how long its imports and its @enter took. User code can say what it likes:
        what is no such time is left out, and all together take no longer than it took."""
        now = self.clock()
        left = now - self._since
        seconds: Any = said.get("seconds") if isinstance(said, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
        for name in ("imports", "enter"):  # a fork has no imports
            value: Any = seconds.get(name) if isinstance(seconds, dict) else None  # pyright: ignore[reportUnknownMemberType, reportUnknownVariableType]
            if isinstance(value, (int, float)) and 0 <= value <= left:
                self.parts[name] = value
                left -= value
        self.parts["agent"] = left
        self._since = now

    def told(self) -> Start:
        """For the server."""
        return Start(self.kind, dict(self.parts), self.why_fresh, self.fallback)
