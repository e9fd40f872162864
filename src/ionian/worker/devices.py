"""GPUs of this machine, by the Container Device Interface."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from ..protocol.workers import Device
from .sandbox import Bind


@dataclass
class Edits:
    """What a container needs for its devices."""

    devices: list[Path] = field(default_factory=list[Path])
    binds: list[Bind] = field(default_factory=list[Bind])
    env: dict[str, str] = field(default_factory=dict[str, str])


class Devices:
    """The devices that the CDI specs of this machine name."""

    @classmethod
    def found(cls) -> Devices:
        """Reads the specs."""
        return cls()

    def offered(self) -> list[Device]:
        """What this worker offers."""
        return []

    def edits(self, names: list[str]) -> Edits:
        """What a container with these devices gets."""
        return Edits()
