"""The content of volumes' versions: on the server's disk, and where there is a bucket, in that.

With a bucket the disk has what is on its way, and what was used lately. A version is named as the newest only when all of it is in
the bucket, so a server that is killed, or a bucket that is gone, leaves the old one.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from pathlib import Path

from .blobs import BlobStore, NoSuchBlob
from .bucket import Bucket


class VersionContent:
    """One a server. Safe to use from any thread; blocks."""

    def __init__(self, blobs: BlobStore, bucket: Bucket | None, owner: Callable[[], str]) -> None:
        self._blobs = blobs
        self._bucket = bucket
        self._owner = owner
        self._guard = threading.Lock()  # who has it decides what is garbage
        self._needed: Counter[str] = Counter()  # by versions that are being made

    @property
    def place(self) -> str:
        """Where it is for good; "": on the server's disk."""
        return self._bucket.url if self._bucket is not None else ""

    @contextmanager
    def secured(self, digests: Iterable[str]) -> Generator[None]:
        """This content, which is on the disk, is in the bucket as well, and no garbage while the block names a version that
        needs it. Raises BlobError, OSError."""
        if self._bucket is None:
            yield
            return
        needed = set(digests)
        with self._guard:
            self._needed.update(needed)
        try:
            self._bucket.claim(self._owner())
            self._bucket.keep({digest: self._blobs.path(digest) for digest in needed})
            yield
        finally:
            with self._guard:
                self._needed.subtract(needed)
                self._needed = +self._needed

    def read(self, digest: str) -> bytes:
        """All of what has this digest. Raises NoSuchBlob, BucketError."""
        try:
            return self._blobs.read(digest)
        except NoSuchBlob:
            if self._bucket is None:
                raise
            return b"".join(self._bucket.parts(digest))

    def part(self, digest: str, offset: int, length: int) -> tuple[int, bytes]:
        """The size of what has this digest, and a part of it. Who puts the parts together looks whether they are what the
        digest says. Raises NoSuchBlob, BucketError."""
        try:
            return self._blobs.part(digest, offset, length)
        except NoSuchBlob:
            if self._bucket is None:
                raise
            return self._bucket.part(digest, offset, length)

    def copy(self, digest: str, target: Path) -> None:
        """Copies it into a new file. Raises NoSuchBlob, BucketError, OSError."""
        try:
            self._blobs.copy(digest, target)
        except NoSuchBlob:
            if self._bucket is None:
                raise
            with open(target, "xb", buffering=0) as file:
                for part in self._bucket.parts(digest):
                    view = memoryview(part)
                    while len(view):
                        view = view[file.write(view) :]

    def collect(self, keep: Callable[[], set[str]], min_age_s: float) -> int:
        """Deletes what no newest version needs from the bucket, but nothing so young; returns how many objects."""
        if self._bucket is None:
            return 0
        self._bucket.claim(self._owner())
        then = time.time() - min_age_s
        old = {entry.digest for entry in self._bucket.entries() if entry.used_at < then}
        with self._guard:  # a version that is being made waits, and then sees what is not there any more
            gone = old - keep() - set(self._needed)
            self._bucket.delete(gone)
        return len(gone)
