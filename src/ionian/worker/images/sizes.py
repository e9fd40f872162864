"""How much of the disk each layer takes: measured once, for a layer never changes."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from pathlib import Path

from .records import write_whole

BLOCK = 512


class Sizes:
    """Sizes of layers, kept beside what else is known of them. Safe to use from any thread."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self._known: dict[str, int] = {}
        self._lock = threading.Lock()

    def of(self, name: str) -> int:
        """The bytes on the disk of a layer. Blocks at the first time, for a second or so per 100,000 files."""
        with self._lock:
            size = self._known.get(name)
            if size is None:
                size = self._known[name] = self._read(name)
            return size

    def forget(self, name: str) -> None:
        """The layer is gone."""
        self._known.pop(name, None)
        self._file(name).unlink(missing_ok=True)

    def _read(self, name: str) -> int:
        with suppress(OSError, ValueError):
            return int(self._file(name).read_text())
        size = measured(self._root / "l" / name)
        write_whole(self._file(name), str(size).encode())
        return size

    def _file(self, name: str) -> Path:
        return self._root / "k" / f"{name}.size"


def measured(folder: Path) -> int:
    """The bytes of the blocks of a tree. A file with several names counts once, and in part where other layers may have it,
    too: one name more is that of the cache from which it came."""
    total = 0
    todo, seen = [str(folder)], set[int]()
    while todo:
        with suppress(
            PermissionError, FileNotFoundError
        ):  # a folder of another id, where this user may not look
            for entry in os.scandir(todo.pop()):
                status = entry.stat(follow_symlinks=False)
                if entry.is_dir(follow_symlinks=False):
                    todo.append(entry.path)
                    total += status.st_blocks * BLOCK
                elif status.st_ino not in seen:
                    total += status.st_blocks * BLOCK // max(1, status.st_nlink - 1)
                    if status.st_nlink > 1:
                        seen.add(status.st_ino)
    return total
