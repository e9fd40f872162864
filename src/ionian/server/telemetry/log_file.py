"""Exported logs as one file of JSON lines, begun anew by size and age: for who collects files, or keeps them."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

from ..logfiles import MIB, setting
from .log_export import Exported

STAMP = "%Y%m%dT%H%M%S.%fZ"


@dataclass(frozen=True)
class FileBounds:
    """When a file is full, and how many full ones are kept."""

    size: int
    age_s: float
    files: int

    @classmethod
    def of_environment(cls) -> FileBounds:
        """What the server's environment says; 100 MiB, a day and 14 files where it says nothing. Raises StateError."""
        return cls(
            int(setting("IONIAN_LOGS_EXPORT_MIB", 100) * MIB),
            setting("IONIAN_LOGS_EXPORT_HOURS", 24) * 3600,
            int(setting("IONIAN_LOGS_EXPORT_FILES", 14)),
        )


class LogFile:
    """A receiver of lines: `apps.log`, and the full ones beside it, `apps-20261130T120000.000000Z.log`."""

    def __init__(self, path: Path, bounds: FileBounds) -> None:
        self._path = path
        self._bounds = bounds
        self._turned = datetime.fromtimestamp(0, timezone.utc)  # the name of the last full one
        self._began = 0.0  # the time of the file's first line; 0: not known, or empty

    def __call__(self, lines: Sequence[Exported]) -> bool:
        """Writes lines. Raises OSError."""
        try:
            self._write(lines)
        except OSError:
            self._began = 0.0  # the disk is full, say: the file may end amid a line
            raise
        return True

    def stop(self) -> None:
        """Each batch is in the file already."""

    def _write(self, lines: Sequence[Exported]) -> None:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        at = 0
        while at < len(lines):
            with open(self._path, "ab") as file:
                size = file.tell()
                if size and not self._began:
                    size = self._mended(size)
                    file.seek(size)
                if not size:
                    self._began = lines[at].line.at
                while at < len(lines) and not (size and self._is_full(size, lines[at].line.at)):
                    size += file.write(encoded(lines[at]))
                    at += 1
            if at < len(lines):
                self._turn()

    def _is_full(self, size: int, now: float) -> bool:
        return size >= self._bounds.size or now - self._began >= self._bounds.age_s

    def _mended(self, size: int) -> int:
        """Takes up a file that is there: its age, and its size without a line that was torn, which comes again."""
        content_end = size
        with open(self._path, "rb+") as file:
            try:
                self._began = datetime.fromisoformat(json.loads(file.readline())["time"]).timestamp()
            except (ValueError, KeyError, TypeError):
                self._began = os.stat(self._path).st_mtime
            while content_end and not _ends_a_line(file, content_end):
                content_end = _line_before(file, content_end)
            file.truncate(content_end)
        return content_end

    def _turn(self) -> None:
        """The file is full: it gets a name of its own, and the oldest go."""
        name = max(datetime.now(timezone.utc), self._turned + timedelta(microseconds=1))  # in their order
        while (full := self._path.with_name(f"{self._path.stem}-{name:{STAMP}}{self._path.suffix}")).exists():
            name += timedelta(microseconds=1)
        os.replace(self._path, full)
        self._turned = name
        self._began = 0.0
        there = sorted(self._path.parent.glob(f"{self._path.stem}-*Z{self._path.suffix}"))
        for old in there[: max(0, len(there) - self._bounds.files)]:
            old.unlink(missing_ok=True)


def _ends_a_line(file: Any, end: int) -> bool:
    file.seek(end - 1)
    return file.read(1) == b"\n"


def _line_before(file: Any, end: int) -> int:
    """Where the last line begins that ends before a place, looked for in steps."""
    start = max(0, end - (64 << 10))
    file.seek(start)
    found = file.read(end - start).rfind(b"\n")
    return start + found + 1 if found >= 0 else start


def encoded(one: Exported) -> bytes:
    """A line of JSON."""
    line = one.line
    about: Mapping[str, Any] = {
        "time": datetime.fromtimestamp(line.at, timezone.utc).isoformat(),
        "environment": one.environment,
        "app": one.app,
        "app_id": one.app_id,
        "function": line.function,
        "container": line.container_id,
        "call": line.call_id,
        "input": line.index,
        "source": one.source,
        "message": line.text,
    }
    return json.dumps(about, ensure_ascii=False).encode("utf-8", "replace") + b"\n"
