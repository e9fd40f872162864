"""The digests of local files, remembered by path, time and size, so that only what changed is read again."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

Known = tuple[int, int, int, str]  # mtime in ns, size, inode, digest

SETTLED_NS = 2_000_000_000
"""A file younger than this (2 s) may change again under the same time stamp: its digest isn't remembered."""

LARGEST_CACHE = 200_000
"""Beyond so many files the oldest entries go."""

MANY = 32
"""From so many files to read on, threads hash them (SHA-256 lets go of the interpreter lock)."""


class FileDigest(NamedTuple):
    """What identifies a file's content."""

    digest: str
    size: int
    mode: int


class HashCache:
    """Digests of files, kept in one JSON file between runs. A cache that can't be read is an empty one."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: dict[str, Known] | None = None
        self._changed = False

    def digests(self, paths: Iterable[Path]) -> dict[Path, FileDigest]:
        """The digest of each file. Raises OSError where one can't be read."""
        known = self._load()
        out: dict[Path, FileDigest] = {}
        unknown: list[Path] = []
        for path in dict.fromkeys(paths):
            status = os.stat(path)
            entry = known.get(str(path))
            if entry is not None and entry[:3] == (status.st_mtime_ns, status.st_size, status.st_ino):
                out[path] = FileDigest(entry[3], status.st_size, _mode(status))
            else:
                unknown.append(path)
        for path, (digest, status) in zip(unknown, _hash_all(unknown), strict=True):
            out[path] = FileDigest(digest, status.st_size, _mode(status))
            if time.time_ns() - status.st_mtime_ns > SETTLED_NS:
                known.pop(str(path), None)
                known[str(path)] = (status.st_mtime_ns, status.st_size, status.st_ino, digest)
                self._changed = True
        return out

    def save(self) -> None:
        """Writes what was learned; where that fails, the next run reads the files again."""
        if not self._changed or self._known is None:
            return
        entries = list(self._known.items())[-LARGEST_CACHE:]
        temporary = self.path.with_suffix(f".{os.getpid()}")
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            temporary.write_text(json.dumps(dict(entries)))
            temporary.replace(self.path)
        except OSError:
            temporary.unlink(missing_ok=True)
        self._changed = False

    def _load(self) -> dict[str, Known]:
        if self._known is None:
            try:
                loaded = json.loads(self.path.read_text())
                self._known = {
                    path: (int(e[0]), int(e[1]), int(e[2]), str(e[3])) for path, e in loaded.items()
                }
            except (OSError, ValueError, TypeError, IndexError, AttributeError):
                self._known = {}
        return self._known


def default_cache() -> HashCache:
    """The cache of this user."""
    from platformdirs import user_cache_path

    home = os.environ.get("IONIAN_HOME")
    folder = Path(home) / "cache" if home else user_cache_path("ionian")
    return HashCache(folder / "hashes.json")


def hash_file(path: Path) -> tuple[str, os.stat_result]:
    """The SHA-256 of a file's content, and its status while it was read."""
    with path.open("rb") as file:
        status = os.fstat(file.fileno())
        return hashlib.file_digest(file, "sha256").hexdigest(), status


def _hash_all(paths: list[Path]) -> list[tuple[str, os.stat_result]]:
    if len(paths) < MANY:
        return [hash_file(path) for path in paths]
    from concurrent.futures import ThreadPoolExecutor

    with ThreadPoolExecutor(min(8, os.cpu_count() or 1)) as pool:
        return list(pool.map(hash_file, paths))


def _mode(status: os.stat_result) -> int:
    """Readable by all, executable where the owner may: who ran `umask` here is nothing to a container."""
    return 0o755 if status.st_mode & 0o100 else 0o644
