"""Content by its SHA-256, each a file: what is announced is complete, verified and synced to disk."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import shutil
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from ionian.protocol.ids import ulid

DIGEST = re.compile(r"[0-9a-f]{64}\Z")

STALE_WRITE_S = 24 * 3600
"""A file that a killed process left half-written goes when it is this old: longer than any upload takes."""

FICLONE = 0x40049409
COPIED_AT_ONCE = 8 << 20

FULL = (errno.ENOSPC, errno.EDQUOT)


class BlobError(Exception):
    """A blob can't be read or written. The message says what was expected, what came, and what to do."""


class NoSuchBlob(BlobError):
    """The store lacks this blob."""


class DiskFull(BlobError):
    """The disk of the blobs has no room."""


class BlobStore:
    """A folder `ab/cdef…` of immutable files. Safe to use from any thread and from several processes.

    ```
    store = BlobStore(folder)
    digest = store.put(b"content")
    store.read(digest, 0, 7)
    ```
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._writes = folder / "tmp"
        self._writes.mkdir(mode=0o700, parents=True, exist_ok=True)

    def path(self, digest: str) -> Path:
        """Where the content lies, or would. Raises BlobError for what is no digest."""
        if not DIGEST.match(digest):
            raise BlobError(f"expected a SHA-256 in 64 hexadecimal digits, got {digest[:80]!r}")
        return self.folder / digest[:2] / digest[2:]

    def has(self, digest: str) -> bool:
        """Whether the content is here."""
        return self.path(digest).exists()

    def size(self, digest: str) -> int:
        """How many bytes the content has. Raises NoSuchBlob."""
        try:
            return self.path(digest).stat().st_size
        except FileNotFoundError:
            raise _no_such(digest) from None

    def missing(self, digests: Iterable[str]) -> list[str]:
        """Those that are not here, in order. The others are as new: no garbage collection takes them soon."""
        missing: list[str] = []
        for digest in dict.fromkeys(digests):
            try:
                os.utime(self.path(digest))
            except FileNotFoundError:
                missing.append(digest)
        return missing

    def read(self, digest: str, offset: int = 0, length: int | None = None) -> bytes:
        """A part of the content, shorter at its end. Raises NoSuchBlob."""
        if offset < 0 or (length is not None and length < 0):
            raise BlobError(f"expected an offset and a length of 0 or more, got {offset} and {length}")
        try:
            with open(self.path(digest), "rb") as file:
                file.seek(offset)
                return file.read() if length is None else file.read(length)
        except FileNotFoundError:
            raise _no_such(digest) from None

    def part(self, digest: str, offset: int, length: int) -> tuple[int, bytes]:
        """The size of the content, and a part of it. Raises NoSuchBlob."""
        return self.size(digest), self.read(digest, offset, length)

    def put(self, content: bytes) -> str:
        """Keeps content; returns its digest."""
        digest = hashlib.sha256(content).hexdigest()
        if self.missing([digest]):
            with self.writer(digest, len(content)) as writer:
                writer.write(content)
                writer.finish()
        return digest

    @property
    def writes(self) -> Path:
        """A folder on the same disk for what is to be adopted."""
        return self._writes

    def adopt(self, drafts: Mapping[str, Path]) -> None:
        """Keeps files that lie in `writes`, under the digests of their content, which whoever wrote them has computed."""
        lacking = set(self.missing(drafts))
        for digest, draft in drafts.items():
            if digest not in lacking:
                draft.unlink()
                continue
            path = self.path(digest)
            with open(draft, "rb") as file:
                os.fchmod(file.fileno(), 0o444)
                os.fsync(file.fileno())
            _place(draft, path)

    def copy(self, digest: str, target: Path) -> None:
        """Copies content into a new file, or shares its blocks where the disk can. Raises NoSuchBlob, OSError."""
        try:
            with open(self.path(digest), "rb") as source, open(target, "xb", buffering=0) as file:
                try:
                    fcntl.ioctl(file, FICLONE, source.fileno())
                except OSError:
                    shutil.copyfileobj(source, file, COPIED_AT_ONCE)
        except FileNotFoundError:
            raise _no_such(digest) from None

    def writer(self, digest: str, size: int) -> BlobWriter:
        """Receives the content of a blob in chunks. Raises DiskFull at once where there is no room for it."""
        path = self.path(digest)
        if size < 0:
            raise BlobError(f"expected a size of 0 or more, got {size}")
        room = os.statvfs(self.folder)
        if size > room.f_bavail * room.f_frsize:
            raise self.full(size)
        return BlobWriter(self, self._writes / ulid(), path, digest, size)

    def full(self, size: int) -> DiskFull:
        """The error of a disk without room."""
        return DiskFull(
            f"the disk that holds {self.folder} is full: no room for {size:,} bytes more; "
            "free some space there and try again"
        )

    def entries(self) -> list[Entry]:
        """Every blob with its size and the time of its last use."""
        found: list[Entry] = []
        for part in self.folder.iterdir():
            if len(part.name) != 2:
                continue
            for file in part.iterdir():
                try:
                    status = file.stat()
                except FileNotFoundError:
                    continue
                found.append(Entry(part.name + file.name, status.st_size, status.st_mtime))
        return found

    def collect(
        self, *, keep: Collection[str], budget_bytes: int, max_age_s: float, min_age_s: float
    ) -> list[str]:
        """Deletes garbage as `choose_garbage` has it, and what killed writers left; returns the digests."""
        now = time.time()
        for file in self._writes.iterdir():
            if now - file.stat().st_mtime > STALE_WRITE_S:
                file.unlink(missing_ok=True)
        chosen = choose_garbage(
            self.entries(),
            now=now,
            keep=keep,
            budget_bytes=budget_bytes,
            max_age_s=max_age_s,
            min_age_s=min_age_s,
        )
        for digest in chosen:
            self.path(digest).unlink(missing_ok=True)
        return chosen


class BlobWriter:
    """Takes a blob's content chunk by chunk; it is in the store once `finish` has returned, and not before."""

    def __init__(self, store: BlobStore, temporary: Path, path: Path, digest: str, size: int) -> None:
        self.digest = digest
        self.size = size
        self.written = 0
        self._store = store
        self._temporary = temporary
        self._path = path
        self._hash = hashlib.sha256()
        try:
            self._file = open(temporary, "xb", buffering=0)  # noqa: SIM115
        except OSError as error:
            raise self._explained(error) from None

    def __enter__(self) -> BlobWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.abandon()

    def write(self, chunk: bytes | memoryview) -> None:
        """Appends a chunk. Raises BlobError past the announced size, DiskFull."""
        if self.written + len(chunk) > self.size:
            raise BlobError(
                f"expected {self.size} bytes of blob {self.digest}, got {self.written + len(chunk)} or more"
            )
        view = memoryview(chunk)
        try:
            while len(view):
                view = view[self._file.write(view) :]
        except OSError as error:
            raise self._explained(error) from None
        self._hash.update(chunk)
        self.written += len(chunk)

    def finish(self) -> Path:
        """Verifies and syncs the content and puts it into its place. Raises BlobError; then nothing is left of it."""
        try:
            if self.written != self.size:
                raise BlobError(f"expected {self.size} bytes of blob {self.digest}, got {self.written}")
            if self._hash.hexdigest() != self.digest:
                raise BlobError(
                    f"expected content with SHA-256 {self.digest}, got {self._hash.hexdigest()}; "
                    "the file was changed while it was sent: try again"
                )
            self._place()
        except OSError as error:
            raise self._explained(error) from None
        finally:
            self.abandon()
        return self._path

    def abandon(self) -> None:
        """Forgets what is not finished."""
        self._file.close()
        self._temporary.unlink(missing_ok=True)

    def _place(self) -> None:
        os.fchmod(self._file.fileno(), 0o444)  # nobody edits a blob in place, not even through a hard link
        os.fsync(self._file.fileno())
        _place(self._temporary, self._path)

    def _explained(self, error: OSError) -> BlobError:
        if error.errno in FULL:
            return self._store.full(self.size - self.written)
        return BlobError(f"can't write blob {self.digest} below {self._store.folder}: {error.strerror}")


@dataclass(frozen=True, slots=True)
class Entry:
    """One blob of the store."""

    digest: str
    size: int
    used_at: float  # when it was written, or asked for by `missing`


def choose_garbage(
    entries: Iterable[Entry],
    *,
    now: float,
    keep: Collection[str],
    budget_bytes: int,
    max_age_s: float,
    min_age_s: float,
) -> list[str]:
    """Which blobs to delete: those not used for `max_age_s`, and the longest unused while all are over the budget.

    Never one of `keep`, and never one used within `min_age_s`: somebody may be about to refer to it.
    """
    by_age = sorted(entries, key=lambda entry: (entry.used_at, entry.digest))
    total = sum(entry.size for entry in by_age)
    chosen: list[str] = []
    for entry in by_age:
        age = now - entry.used_at
        if age < min_age_s:
            break
        if entry.digest not in keep and (age > max_age_s or total > budget_bytes):
            chosen.append(entry.digest)
            total -= entry.size
    return chosen


def _no_such(digest: str) -> NoSuchBlob:
    return NoSuchBlob(f"there is no blob {digest} here")


def _place(temporary: Path, path: Path) -> None:
    folder = path.parent
    if not folder.exists():
        folder.mkdir(mode=0o700, exist_ok=True)
        _sync_folder(folder.parent)
    os.replace(temporary, path)
    _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
