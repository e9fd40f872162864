"""The files of kept logs: a folder an app, a line of JSON a line of output, bounded in size and age.

    applogs/ap-…/001790000000000.log      named by the millisecond of its first line

A file that is full is followed by another; the oldest go when an app, or all of them together, have too much.
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from ..machine.state import StateError
from ..protocol.apps import STARTED, LogLine

MIB = 1 << 20

SEGMENT_BYTES = 4 * MIB
"""Of one file: what is deleted at a time, and about what a reader decodes to find the last lines (30 ms)."""

ANSWER_BYTES = 1 * MIB
"""About so much is read at a time; who wants more asks again from the position."""


class _Row(msgspec.Struct, array_like=True):
    """A line as it is kept; earlier versions of Ionian knew of no calls."""

    at: float
    function: str
    container_id: str
    fd: int
    text: str
    call_id: str = ""
    index: int = -1


_row = msgspec.json.Decoder(_Row)
_encoder = msgspec.json.Encoder()


def setting(name: str, default: float) -> float:
    """A number above 0 of the server's environment. Raises StateError for what is none."""
    given = os.environ.get(name) or default
    try:
        value = float(given)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise StateError(f"{name}: expected a number above 0, got {given!r}")
    return value


@dataclass
class Bounds:
    """How much is kept. IONIAN_LOGS_APP_MIB, IONIAN_LOGS_MIB and IONIAN_LOGS_DAYS say otherwise."""

    app_bytes: int
    all_bytes: int
    age_s: float

    @classmethod
    def of_environment(cls) -> Bounds:
        """What the server's environment says; 64 MiB an app, 2 GiB in all, 30 days where it says nothing.

        Raises StateError for a value that is no bound.
        """
        return cls(
            int(setting("IONIAN_LOGS_APP_MIB", 64) * MIB),
            int(setting("IONIAN_LOGS_MIB", 2048) * MIB),
            setting("IONIAN_LOGS_DAYS", 30) * 86_400,
        )


class Position(NamedTuple):
    """A place in the log of an app: a file by its millisecond, and an offset in it."""

    segment: int = 0
    offset: int = 0

    def __str__(self) -> str:
        return f"{self.segment}:{self.offset}"

    @classmethod
    def parse(cls, text: str) -> Position:
        """What `str` made. Raises ValueError."""
        if not re.fullmatch(r"[0-9]{1,18}:[0-9]{1,18}", text):
            raise ValueError(f"expected a cursor of an earlier answer, got {text[:40]!r}")
        segment, _, offset = text.partition(":")
        return cls(int(segment), int(offset))


@dataclass
class Query:
    """Which lines of an app are wanted; times in seconds since 1970, 0 for no bound."""

    function: str = ""
    container_id: str = ""
    call_id: str = ""
    index: int = -1  # of the call's inputs; -1: all
    fd: int = 0
    text: str = ""  # what a line must hold
    since: float = 0.0
    until: float = 0.0
    tail: int = 0  # the last so many; 0: all

    def wants(self, line: LogLine) -> bool:
        """Whether a line is one of those."""
        return (
            (not self.function or line.function == self.function)
            and (not self.container_id or line.container_id == self.container_id)
            and (not self.call_id or line.call_id == self.call_id)
            and (self.index < 0 or line.index == self.index)
            and (line.fd == self.fd if self.fd else line.fd != STARTED)
            and line.at >= self.since
            and (not self.until or line.at <= self.until)
            and self.text in line.text
        )


class Lines(NamedTuple):
    """What was read, oldest first; the position behind it; whether there is more to read already."""

    lines: list[LogLine]
    position: Position
    more: bool = False


class LogFiles:
    """The kept logs of all apps. One thread appends; any thread reads. Everything here blocks."""

    def __init__(self, folder: Path, bounds: Bounds | None = None) -> None:
        self.folder = folder
        self.bounds = bounds or Bounds.of_environment()
        self.deleting: list[Callable[[str, int, Path], None]] = []
        """Told, with the app and the millisecond, of each file that is about to be deleted."""

    def append(self, app_id: str, lines: Sequence[LogLine]) -> None:
        """Adds lines to the log of an app. Raises OSError."""
        if not re.fullmatch(r"[\w-]+", app_id):  # a worker said it, and it names a folder
            raise ValueError(f"expected the id of an app, got {app_id!r}")
        folder = self.folder / app_id
        segments = self._segments(app_id)
        path = _path(folder, segments[-1]) if segments else None
        if path is None or path.stat().st_size >= SEGMENT_BYTES:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            number = max(int(lines[0].at * 1000), segments[-1] + 1 if segments else 0)
            path = _path(folder, number)
            self._shrink(folder, segments)
        with open(path, "ab") as file:
            if file.tell() and not _ends_with_newline(path):  # torn by a crash
                file.write(b"\n")
            file.write(b"".join(b"%b\n" % _encoder.encode(_fields(line)) for line in lines))

    def read(self, app_id: str, query: Query) -> Lines:
        """The first of the wanted lines: with a tail, of the last so many."""
        return self.read_on(app_id, query, self._begin(app_id, query))

    def read_on(self, app_id: str, query: Query, position: Position) -> Lines:
        """The wanted lines behind a position, up to about ANSWER_BYTES of them."""
        lines: list[LogLine] = []
        size = 0
        for segment in self._segments(app_id):
            if segment < position.segment:
                continue
            offset = position.offset if segment == position.segment else 0
            position = Position(segment, offset)
            for line, end in self._scan(app_id, segment, offset, query.call_id):
                position = Position(segment, end)
                if line is not None and query.wants(line):
                    lines.append(line)
                    size += len(line.text) + 80
                    if size >= ANSWER_BYTES:
                        return Lines(lines, position, True)
        return Lines(lines, position)

    def purge(self, live: Iterable[str], now: float | None = None) -> None:
        """Deletes what is too old, and, where all apps together have too much, the oldest: of ended apps first."""
        now = time.time() if now is None else now
        files: list[tuple[bool, float, int, Path]] = []
        lives = set(live)
        for folder in self._folders():
            for path in folder.glob("*.log"):
                status = path.stat()
                files.append((folder.name in lives, status.st_mtime, status.st_size, path))
        total = sum(size for _, _, size, _ in files)
        for _, written, size, path in sorted(files):
            if now - written > self.bounds.age_s or total > self.bounds.all_bytes:
                self._delete(path)
                total -= size
        for folder in self._folders():
            if folder.name in lives:
                continue
            try:
                folder.rmdir()
            except OSError:  # not empty
                continue

    def apps(self) -> list[str]:
        """The apps of which anything is kept."""
        return [folder.name for folder in self._folders()]

    def end(self, app_id: str) -> Position:
        """The place behind all that is kept of an app."""
        segments = self._segments(app_id)
        if not segments:
            return Position()
        return Position(segments[-1], _path(self.folder / app_id, segments[-1]).stat().st_size)

    # --- within

    def _delete(self, path: Path) -> None:
        for told in self.deleting:
            try:
                told(path.parent.name, int(path.stem), path)
            except FileNotFoundError:
                pass  # another thread was first
        path.unlink(missing_ok=True)

    def _folders(self) -> list[Path]:
        return [path for path in self.folder.iterdir() if path.is_dir()] if self.folder.is_dir() else []

    def _segments(self, app_id: str) -> list[int]:
        try:
            names = os.listdir(self.folder / app_id)
        except FileNotFoundError:
            return []
        return sorted(int(name[:-4]) for name in names if name.endswith(".log"))

    def _shrink(self, folder: Path, segments: list[int]) -> None:
        sizes = {segment: _path(folder, segment).stat().st_size for segment in segments}
        total = sum(sizes.values()) + SEGMENT_BYTES  # of the one that begins
        for segment in segments:
            if total <= self.bounds.app_bytes:
                return
            self._delete(_path(folder, segment))
            total -= sizes[segment]

    def _begin(self, app_id: str, query: Query) -> Position:
        """Where the wanted lines begin."""
        segments = self._segments(app_id)
        found = 0
        for place in range(len(segments) - 1, -1, -1):
            segment = segments[place]
            if query.tail:
                begin = 0
                offsets: list[int] = []
                for line, end in self._scan(app_id, segment, 0, query.call_id):
                    if line is not None and query.wants(line):
                        offsets.append(begin)
                    begin = end
                found += len(offsets)
                if found >= query.tail:
                    return Position(segment, offsets[found - query.tail])
            if segment <= query.since * 1000:
                return Position(segment, 0)  # earlier ones are older
        return Position(segments[0] if segments else 0, 0)

    def _scan(
        self, app_id: str, segment: int, offset: int, call_id: str = ""
    ) -> Iterator[tuple[LogLine | None, int]]:
        """The lines of a file with the offset behind each; None for one that a crash tore. Those that can't be of
        the call are passed over, for decoding is what takes time."""
        named = call_id.encode()
        try:
            file = open(_path(self.folder / app_id, segment), "rb")  # noqa: SIM115 (closed below)
        except FileNotFoundError:
            return  # purged meanwhile
        with file:
            file.seek(offset)
            for raw in file:
                if not raw.endswith(b"\n"):
                    return  # being written
                offset += len(raw)
                if named and named not in raw:
                    yield None, offset
                    continue
                try:
                    row = _row.decode(raw)
                except msgspec.MsgspecError:
                    yield None, offset
                else:
                    yield _line(row), offset


def _line(row: _Row) -> LogLine:
    return LogLine(row.at, row.function, row.container_id, row.fd, row.text, row.call_id, row.index)


def _path(folder: Path, segment: int) -> Path:
    return folder / f"{segment:015d}.log"


def _fields(line: LogLine) -> tuple[Any, ...]:
    fields = line.at, line.function, line.container_id, line.fd, line.text
    return (*fields, line.call_id, line.index) if line.call_id else fields


def _ends_with_newline(path: Path) -> bool:
    with open(path, "rb") as file:
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"
