"""Kept logs, handed on as they are written: a thread reads the files from where it was, and goes on only when the receiver has
them. So neither a receiver that is away nor a kill of the server loses a line that was kept, while it is kept; what comes
again after a kill are the lines of one batch."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from ...protocol.apps import SYSTEM, LogLine
from ..logfiles import LogFiles, Position, Query

log = logging.getLogger("ionian.server")

LOOK_S = 1.0
"""What was written is exported so much later, together with what came meanwhile."""

AGAIN_S = 5.0
"""So long after a receiver has refused it is asked again."""

LAST_S = 3.0
"""At the end of the server what is left has so long; the next start goes on there."""

SOURCES = {1: "stdout", 2: "stderr", SYSTEM: "system"}


@dataclass(frozen=True, slots=True)
class Exported:
    """A line as it is exported."""

    app: str
    app_id: str
    environment: str
    line: LogLine

    @property
    def source(self) -> str:
        """Which stream it was written to."""
        return SOURCES.get(self.line.fd, "stdout")


class Receiver(Protocol):
    """Who gets the lines."""

    def __call__(self, lines: Sequence[Exported]) -> bool:
        """Whether it has them now. Blocks; may raise OSError."""
        ...

    def stop(self) -> None:
        """No more come."""
        ...


Named = Callable[[str], tuple[str, str]]
"""The name and environment of an app by its id; blocks."""


class LogExport:
    """The thread of one receiver."""

    def __init__(self, to: str, files: LogFiles, named: Named, receiver: Receiver, place: Path) -> None:
        """`place`: the file that remembers how far each app's log was exported."""
        self.to = to
        self.exported = 0
        self.dropped = 0  # deleted before the receiver took them
        self._files = files
        self._named = named
        self._receiver = receiver
        self._place = place
        self._changed: deque[str] = deque()  # apps
        self._news = threading.Event()
        self._ending = threading.Event()
        self._refusing = False
        self._positions = self._remembered()
        self._thread = threading.Thread(target=self._run, name=f"ionian-logs-{to}", daemon=True)

    def start(self) -> None:
        """Goes on where it was."""
        self._thread.start()

    def kept(self, app_id: str) -> None:
        """An app's log has more. On any thread."""
        self._changed.append(app_id)
        self._news.set()

    def deleted(self, app_id: str, segment: int, file: Path) -> None:
        """A file of kept lines is about to go: what was not exported of it is counted. On any thread."""
        position = self._positions.get(app_id, Position())
        if segment < position.segment:
            return
        with open(file, "rb") as lines:
            lines.seek(position.offset if segment == position.segment else 0)
            self.dropped += sum(block.count(b"\n") for block in iter(lambda: lines.read(1 << 20), b""))

    def stop(self) -> None:
        """Exports what is left, if the receiver takes it. Blocks for a few seconds at most."""
        self._ending.set()
        self._news.set()
        self._thread.join(LAST_S)
        self._receiver.stop()

    # --- on the thread

    def _run(self) -> None:
        self._changed.extend(self._files.apps())
        while True:
            self._news.clear()  # first: an end that comes now is either seen below, or wakes the wait
            ending = self._ending.is_set()
            changed = {self._changed.popleft() for _ in range(len(self._changed))}
            while changed and self._export(app_id := min(changed)):
                changed.remove(app_id)
            self._changed.extend(changed)
            if ending:
                return
            if self._refusing:
                self._ending.wait(AGAIN_S)
            else:
                self._news.wait()
                self._ending.wait(LOOK_S)

    def _export(self, app_id: str) -> bool:
        """Exports what is new of an app; False: the receiver did not take it."""
        try:
            return self._read_on(app_id)
        except Exception as error:
            self._refused(str(error))
            return False

    def _read_on(self, app_id: str) -> bool:
        position = self._positions.get(app_id, Position())
        while True:
            found = self._files.read_on(app_id, Query(), position)
            if found.lines:
                app, environment = self._named(app_id)
                lines = [Exported(app, app_id, environment, line) for line in found.lines]
                if not self._receiver(lines):
                    self._refused("it was refused")
                    return False
                self._taken(len(lines))
            if found.position != position:
                position = self._positions[app_id] = found.position
                self._remember()
            if not found.more:
                return True

    def _taken(self, lines: int) -> None:
        self.exported += lines
        if self._refusing:
            self._refusing = False
            log.info("logs are exported again to=%s", self.to)

    def _refused(self, why: str) -> None:
        if not self._refusing:
            self._refusing = True
            log.warning(
                "logs can't be exported to=%s: %s; it is tried again while they are kept", self.to, why
            )

    # --- how far it is

    def _remembered(self) -> dict[str, Position]:
        """How far each app's log was exported; where nothing ever was: what is there now is not."""
        try:
            said = json.loads(self._place.read_text())
            return {app_id: Position.parse(position) for app_id, position in said.items()}
        except FileNotFoundError:
            positions = {app_id: self._files.end(app_id) for app_id in self._files.apps()}
        except (ValueError, AttributeError) as error:
            log.warning("%s can't be read, and logs are exported from now on: %s", self._place, error)
            positions = {app_id: self._files.end(app_id) for app_id in self._files.apps()}
        self._positions = positions
        self._remember()
        return positions

    def _remember(self) -> None:
        there = {*self._files.apps()}
        self._positions = {app_id: at for app_id, at in self._positions.items() if app_id in there}
        draft = self._place.with_suffix(".draft")
        draft.write_text(json.dumps({app_id: str(at) for app_id, at in self._positions.items()}))
        os.replace(draft, self._place)
