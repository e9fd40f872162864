"""What the steps of image builds printed, kept by step: an image whose step was there already has the log of the build that
made it."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import deque
from dataclasses import asdict, dataclass, field
from pathlib import Path

import msgspec

from ..protocol.apps import BuildStep
from ..protocol.ids import ulid
from ..protocol.images import StepLine, StepLog
from ..protocol.spec import ImageSpec

LINES_MAX = 20_000
"""Of a step that prints more, so many last lines are kept."""

TEXT_MAX = 4_000
"""A longer line is cut."""

AGE_MAX_S = 90 * 86_400.0
"""Kept for so long after the step was made."""


@dataclass
class _Open:
    """A step that is being made."""

    key: str
    text: str
    began: float
    lines: deque[StepLine] = field(default_factory=lambda: deque[StepLine](maxlen=LINES_MAX))


class BuildLogs:
    """The logs in a folder, one of an environment's own each."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def begin(self, environment: str, image: ImageSpec) -> BuildLog:
        """Takes what one build prints."""
        return BuildLog(self._folder / environment, step_keys(image))

    def read(self, environment: str, image: ImageSpec, steps: int = 0) -> list[StepLog]:
        """What is kept of the last steps of an image, of all where `steps` is 0. Blocks."""
        return [_read(self._folder / environment / key) for key in step_keys(image)[-steps:]]

    def purge(self) -> None:
        """Removes what is too old. Blocks."""
        oldest = time.time() - AGE_MAX_S
        for file in self._folder.glob("*/*"):
            if file.stat().st_mtime < oldest:
                file.unlink(missing_ok=True)


class BuildLog:
    """What one build prints, put down step by step."""

    def __init__(self, folder: Path, keys: list[str]) -> None:
        self._folder = folder
        self._keys = keys
        self._open: dict[int, _Open] = {}

    def heard(self, step: BuildStep) -> None:
        """Takes what is said of a step."""
        number = step.step
        if not 1 <= number <= len(self._keys):
            return
        if step.state == "start" or (step.state in ("log", "source") and number not in self._open):
            began = _Open(self._keys[number - 1], step.text, time.time())
            self._open.setdefault(number, began)
        if step.state in ("log", "source"):
            now = time.time()
            lines = step.text.rstrip("\n").split("\n")
            self._open[number].lines.extend(StepLine(now, line[:TEXT_MAX]) for line in lines)
        elif step.state == "start":
            self._open[number].text = step.text
        elif step.state == "cached":
            self._open.pop(number, None)
        elif step.state == "done" and (opened := self._open.pop(number, None)) is not None:
            self._keep(opened, "done", step.seconds, step.size)

    def failed(self) -> None:
        """The build came to a bad end: what was under way is kept as it is."""
        for opened in self._open.values():
            self._keep(opened, "failed", time.time() - opened.began, 0)
        self._open.clear()

    def _keep(self, opened: _Open, state: str, seconds: float, size: int) -> None:
        kept = StepLog(opened.text, state, opened.began, seconds, size, list(opened.lines))  # type: ignore[arg-type]
        self._folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = self._folder / f".{ulid()}"
        draft.write_bytes(msgspec.json.encode(kept))
        os.replace(draft, self._folder / opened.key)


def step_keys(image: ImageSpec) -> list[str]:
    """A name for each step of an image: that of all steps up to it, so equal beginnings share their logs."""
    seen = hashlib.sha256()
    keys: list[str] = []
    for instruction in image.instructions:
        seen.update(json.dumps(asdict(instruction), sort_keys=True).encode())
        keys.append(seen.copy().hexdigest()[:32])
    return keys


def _read(file: Path) -> StepLog:
    try:
        return _decoder.decode(file.read_bytes())
    except (OSError, msgspec.MsgspecError):
        return StepLog("")


_decoder = msgspec.json.Decoder(StepLog)
