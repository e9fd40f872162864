"""Local files to the server's blob store: hashed, asked for, and only what is missing sent."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from ..exception import ExecutionError, InvalidError
from ..local_files import LocalFile
from ..protocol.messages import Blob, FindBlobs, MissingBlobs
from ..protocol.spec import FileRef
from .hashes import FileDigest, HashCache, default_cache

if TYPE_CHECKING:
    from ..link import Link

CHUNK = 1 << 20
"""Bytes of a blob in one message; the protocol's own figure."""

ASK = 2_000
"""Digests asked for in one message: about 140 kB."""

MANY = 8
TOGETHER = 8
"""From so many files on, so many are sent at once: the server syncs each to its disk."""


class Uploader:
    """Sends files for one app; what is known to be there is not asked for again."""

    def __init__(self, link: Link, cache: HashCache | None = None) -> None:
        self._link = link
        self._cache = default_cache() if cache is None else cache
        self._there: set[str] = set()
        self.sent = 0  # bytes
        self.files_sent = 0

    def references(self, files: Sequence[LocalFile]) -> list[FileRef]:
        """Sees to it that the server has these files, and says how specs name them.

        Raises InvalidError where a file can't be read, ExecutionError where it changes meanwhile.
        """
        try:
            known = self._cache.digests(file.local for file in files)
            self._send_missing(known)
        except OSError as error:
            raise InvalidError(
                f"{error.filename} can't be read for the container: {error.strerror}"
            ) from error
        return [FileRef(file.remote, *known[file.local]) for file in files]

    def content(self, content: bytes) -> str:
        """The same for content that is no file; returns its digest."""
        return self._link.store_blob(content)

    def close(self) -> None:
        """Remembers the digests for the next run."""
        self._cache.save()

    def _send_missing(self, known: dict[Path, FileDigest]) -> None:
        wanted = {entry.digest: path for path, entry in known.items() if entry.digest not in self._there}
        missing = [(wanted[digest], known[wanted[digest]]) for digest in self._missing(list(wanted))]
        if len(missing) < MANY:
            for path, expected in missing:
                self._send(path, expected)
        else:
            self._send_together(missing)
        self._there.update(wanted)
        self.files_sent += len(missing)
        self.sent += sum(expected.size for _, expected in missing)

    def _send_together(self, missing: list[tuple[Path, FileDigest]]) -> None:
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(TOGETHER) as pool:
            list(pool.map(self._send, *zip(*missing, strict=True)))

    def _missing(self, digests: list[str]) -> Iterable[str]:
        for at in range(0, len(digests), ASK):
            answer, _ = self._link.request(FindBlobs(digests[at : at + ASK]))
            assert isinstance(answer, MissingBlobs), answer
            yield from answer.digests

    def _send(self, path: Path, expected: FileDigest) -> None:
        """One file, in chunks; it is read a second time here, so a change since it was hashed shows."""
        at, hashed = 0, hashlib.sha256()
        with path.open("rb") as file:
            while True:
                chunk = file.read(CHUNK)
                hashed.update(chunk)
                last = at + len(chunk) >= expected.size
                if (last and hashed.hexdigest() != expected.digest) or (not chunk and not last):
                    raise ExecutionError(f"{path} changed while it was sent; run again when it is complete")
                self._link.request(Blob(expected.digest, expected.size, at), chunk)
                if last:
                    return
                at += len(chunk)
