"""Whether an import reads what lies in a volume.

A volume changes while a template lives. What its import read there would stay as it was then, in each of its containers
to come; so such a function's containers import for themselves. With `enable_memory_snapshot` it is meant to stay.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

LOOKS = {"open", "os.listdir", "os.scandir"}
"""What Python tells of its looks at files. A library that opens them in C goes by unseen."""


class VolumeReads:
    """Notices, from here until `over`."""

    def __init__(self, volumes: Sequence[str]) -> None:
        self._volumes = tuple(path.rstrip("/") for path in volumes)
        self._watching = bool(volumes)
        self._read = ""
        if volumes:
            sys.addaudithook(self._hear)

    def reason(self, who: str) -> str:
        """Why containers are not to be forked, about `who` ("its import"); "" if they may be."""
        return f"{who} reads {self._read}, which lies in a volume and may change" if self._read else ""

    def over(self) -> None:
        """What is read from here on is the container's own affair."""
        self._watching = False

    def _hear(self, event: str, details: tuple[Any, ...]) -> None:
        if not self._watching or event not in LOOKS or not details:
            return
        try:
            name = os.path.abspath(os.fsdecode(details[0]))
        except TypeError:
            return  # a descriptor, whose opening was heard
        if any(name == volume or name.startswith(f"{volume}/") for volume in self._volumes):
            self._read = self._read or name
