"""Large files to a volume whose server is on this machine: it copies them itself, and each takes its name when all are there."""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Generator, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

from . import faults, link

if TYPE_CHECKING:
    from .protocol.volumes import NewFile

TRIES = 20
"""Connections to a server that answers requests and takes no offers, until its files go the long way."""

PAUSE_S = 0.05


class NotOffered(Exception):
    """The server takes no offers from here."""


class Large(NamedTuple):
    """A file, and where its content is."""

    file: NewFile
    source: Path | IO[bytes]


class OfferedUpload:
    """Sends large files by offering them.

    Args:
        moved: is told of files and bytes that are done; of fewer bytes where a server that was killed has lost some.
    """

    def __init__(
        self, volume_id: str, force: bool, offering: link.Offering, moved: Callable[[int, int], None]
    ) -> None:
        self._volume_id = volume_id
        self._force = force
        self._offering = offering
        self._moved = moved

    def send(self, files: Sequence[Large], pool: Any) -> None:
        """Copies them all, several at a time, and then gives them their names. Raises NotOffered."""
        from .protocol.volumes import AT_ONCE

        keys: dict[str, str] = dict(
            zip((each.file.path for each in files), pool.map(self._copied, files), strict=True)
        )
        for at in range(0, len(files), AT_ONCE):
            self._place(files[at : at + AT_ONCE], keys, pool)

    def _place(self, files: Sequence[Large], keys: dict[str, str], pool: Any) -> None:
        from .protocol.volumes import OfferedFile, PlaceFiles

        while True:
            if faults.ARMED:
                faults.reach("client.place")
            offered = [OfferedFile(each.file.path, keys[each.file.path], each.file.mode) for each in files]
            placed, _ = link.current().request(PlaceFiles(self._volume_id, offered, self._force))
            if not placed.missing:
                self._moved(len(files), 0)
                return
            lost = set(placed.missing)  # with a server that was killed
            again = [each for each in files if keys[each.file.path] in lost]
            self._moved(0, -sum(each.file.size for each in again))
            keys.update(zip((each.file.path for each in again), pool.map(self._copied, again), strict=True))

    def _copied(self, large: Large) -> str:
        """The key of a file of which the server has a copy."""
        with _opened(large.source) as descriptor:
            while True:
                key = self._offered(descriptor)
                if self._copy(large.file.path, key):
                    return key

    def _offered(self, descriptor: int) -> str:
        from .protocol.volumes import FindExisting

        for _ in range(TRIES):
            try:
                return self._offering.offer(descriptor)
            except OSError:
                link.current().request(
                    FindExisting(self._volume_id, [])
                )  # waits for a server that was killed
                time.sleep(PAUSE_S)
        raise NotOffered

    def _copy(self, path: str, key: str) -> bool:
        from .protocol.volumes import CopyOffered

        at = 0
        while True:
            copied, _ = link.current().request(CopyOffered(self._volume_id, path, key, at))
            if not copied.known:
                self._moved(0, -at)
                return False
            if faults.ARMED:
                faults.reach("client.copied")
            self._moved(0, copied.offset - at)
            at = copied.offset
            if at >= copied.size:
                return True


@contextlib.contextmanager
def _opened(source: Path | IO[bytes]) -> Generator[int]:
    if not isinstance(source, Path):
        source.flush()
        yield source.fileno()
        return
    descriptor = os.open(source, os.O_RDONLY | os.O_CLOEXEC)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
