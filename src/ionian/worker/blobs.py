"""Blobs on a worker: read where they lie if this is the server's machine, else fetched once and kept."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import Callable
from contextlib import ExitStack
from io import FileIO
from pathlib import Path
from shutil import copyfile, copyfileobj
from tempfile import TemporaryFile
from typing import TYPE_CHECKING

from ..protocol.messages import Blob, ReadBlob
from ..protocol.stream import ConnectionLost

if TYPE_CHECKING:
    from .uplink import Uplink

CHUNK = 1 << 20
PAUSE_S = 0.05
"""Between two looks for a server that was lost."""


class WrongContent(OSError):
    """A blob came with other content than its name says."""


class Blobs:
    """Content by digest, as files."""

    def __init__(self, uplink: Uplink, cache: Path) -> None:
        self._uplink = uplink
        self._cache = cache
        self._fetching: dict[str, asyncio.Task[Path]] = {}

    async def fetch(self, digest: str) -> Path:
        """The file with this content."""
        for path in (self._shared(digest), self._cache / digest[:2] / digest[2:]):
            if path is not None and path.exists():
                return path
        task = self._fetching.get(digest)
        if task is None:
            task = self._fetching[digest] = asyncio.ensure_future(self._fetch(digest))
            task.add_done_callback(lambda _: self._fetching.pop(digest, None))
        return await asyncio.shield(task)

    def _shared(self, digest: str) -> Path | None:
        folder = self._uplink.shared_blobs
        return folder / digest[:2] / digest[2:] if folder is not None else None

    async def _fetch(self, digest: str) -> Path:
        path = self._cache / digest[:2] / digest[2:]
        path.parent.mkdir(parents=True, exist_ok=True)
        await self.fetch_into(digest, path)
        return path

    async def fetch_into(self, digest: str, path: Path) -> None:
        """Brings this content into a file of the caller's, and keeps no other copy. Raises Refused, OSError."""
        shared = self._shared(digest)
        if shared is not None and shared.exists():
            await asyncio.to_thread(copyfile, shared, path)
            return
        temporary = path.with_suffix(f".{os.getpid()}.part")
        seen = hashlib.sha256()
        try:
            with open(temporary, "wb") as file:
                size, at = 1, 0
                while at < size:
                    try:
                        reply, part = await self._uplink.bulk(ReadBlob(digest, at, CHUNK))
                    except ConnectionLost:
                        await asyncio.sleep(PAUSE_S)
                        continue
                    size = reply.size
                    seen.update(part)
                    await asyncio.to_thread(file.write, part)
                    at += len(part)
                    if not size:
                        break
            if seen.hexdigest() != digest:
                raise WrongContent(f"blob {digest} came with other content than its name says")
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)

    @staticmethod
    def copy(path: Path, folder: Path) -> FileIO:
        """A copy of a file, without a name, on the disk of that folder."""
        with open(path, "rb") as content, ExitStack() as undo:
            copied = undo.enter_context(TemporaryFile(buffering=0, dir=folder))
            assert isinstance(copied, FileIO)
            copyfileobj(content, copied, CHUNK)
            undo.pop_all()
            return copied

    async def store(self, content: bytes) -> str:
        """Keeps content on the server; returns its digest."""
        view = memoryview(content)
        return await self._store(len(content), lambda at: view[at : at + CHUNK])

    async def store_path(self, path: Path) -> str:
        """The same for the content of a file."""
        with FileIO(path) as file:
            return await self.store_file(file, path.stat().st_size)

    def drop(self, digest: str) -> None:
        """Forgets what was fetched; what lies on the server's own disk stays there."""
        (self._cache / digest[:2] / digest[2:]).unlink(missing_ok=True)

    async def store_file(self, file: FileIO, size: int) -> str:
        """The same for so many bytes of a file, of which a part is in memory at a time."""
        return await self._store(size, lambda at: os.pread(file.fileno(), min(CHUNK, size - at), at))

    async def _store(self, size: int, part: Callable[[int], bytes | memoryview]) -> str:
        digest = await asyncio.to_thread(_digest, size, part)
        while True:
            try:
                for at in range(0, max(size, 1), CHUNK):
                    await self._uplink.bulk(Blob(digest, size, at), part(at))
                return digest
            except ConnectionLost:
                await asyncio.sleep(PAUSE_S)


def _digest(size: int, part: Callable[[int], bytes | memoryview]) -> str:
    seen = hashlib.sha256()
    for at in range(0, size, CHUNK):
        content = part(at)
        if len(content) != min(CHUNK, size - at):
            raise OSError(f"it ends before its {size} bytes")
        seen.update(content)
    return seen.hexdigest()
