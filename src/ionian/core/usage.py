"""What containers used, summed by function and app."""

from __future__ import annotations

from dataclasses import dataclass, field

from ..protocol.apps import AppUsage
from ..protocol.workers import Usage


@dataclass(slots=True)
class Sum:
    """The usage of a number of containers."""

    usage: Usage = field(default_factory=Usage)
    containers: int = 0

    def add(self, usage: Usage) -> None:
        """One more container."""
        own = self.usage
        own.wall_s += usage.wall_s
        own.cpu_s += usage.cpu_s
        own.memory_gib_s += usage.memory_gib_s
        own.gpu_s += usage.gpu_s
        self.containers += 1


class Ledgers:
    """The sums of all apps that have not been taken yet."""

    def __init__(self) -> None:
        self._apps: dict[str, dict[str, Sum]] = {}

    def add(self, app_id: str, function_id: str, usage: Usage) -> None:
        """A container has ended."""
        self._apps.setdefault(app_id, {}).setdefault(function_id, Sum()).add(usage)

    def functions(self, app_id: str) -> dict[str, Sum]:
        """The sums of an app, by function."""
        return self._apps.get(app_id, {})

    def of_app(self, app_id: str) -> AppUsage:
        """The sum of an app, so far."""
        total = AppUsage(app_id)
        for part in self.functions(app_id).values():
            total.container_seconds += part.usage.wall_s
            total.cpu_seconds += part.usage.cpu_s
            total.memory_gib_seconds += part.usage.memory_gib_s
            total.gpu_seconds += part.usage.gpu_s
            total.containers += part.containers
        return total

    def forget(self, app_id: str) -> AppUsage:
        """The sum of an app, which is then no longer kept."""
        total = self.of_app(app_id)
        self._apps.pop(app_id, None)
        return total
