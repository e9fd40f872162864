"""Files of users in layers: each content is copied from its blob once, and hard-linked wherever it is wanted.

Not linked to the blob itself: a blob belongs to the server, a layer's file to the root user of containers.
"""

from __future__ import annotations

import asyncio
import errno
import os
import posixpath
import shutil
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

from ionian.protocol.spec import FileRef

from . import overlay
from .overlay import Owner
from .records import ImageError

CHUNK = 1 << 24

NO_RANGES = (errno.EXDEV, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP)
"""What copy_file_range says where it can't do it: blobs and layers lie on two disks, or on an old kernel's."""


class Files:
    """Contents of files, kept below `f/` by digest and mode."""

    def __init__(self, root: Path, owner: Owner, fetch: Callable[[str], Awaitable[Path]]) -> None:
        self.kept = root / "f"
        self.owner = owner
        self.fetch = fetch

    async def place(self, files: Sequence[FileRef], into: str, layer: Path, below: Sequence[Path]) -> None:
        """Puts files below the folder `into` of a layer that stands on others. Raises ImageError, OSError."""
        if not layer.is_dir():
            layer.mkdir()
            layer.chmod(0o755)
            self.owner.take(layer)
        ready = [(file, await self.content(file)) for file in files]
        await asyncio.to_thread(self._link, ready, into, layer, below)

    async def content(self, file: FileRef) -> Path:
        """A file with this content and mode that may be linked into layers."""
        mode = file.mode & 0o777
        place = self.kept / file.digest[:2] / f"{file.digest[2:]}-{mode:o}"
        if not place.exists():
            blob = await self.fetch(file.digest)
            await asyncio.to_thread(self._copy, blob, place, mode)
        return place

    def _copy(self, blob: Path, place: Path, mode: int) -> None:
        place.parent.mkdir(parents=True, exist_ok=True)
        draft = place.with_name(f".{place.name}.{os.getpid()}")
        try:
            with blob.open("rb") as source, draft.open("wb") as target:
                try:
                    while os.copy_file_range(source.fileno(), target.fileno(), CHUNK):
                        pass
                except OSError as error:
                    if error.errno not in NO_RANGES:
                        raise
                    shutil.copyfileobj(source, target, CHUNK)
            self.owner.take(draft)
            draft.chmod(mode)
            draft.replace(place)
        except OSError:
            overlay.remove(draft)
            raise

    def _link(
        self, ready: Sequence[tuple[FileRef, Path]], into: str, layer: Path, below: Sequence[Path]
    ) -> None:
        folders: dict[str, Path] = {}  # files come by the thousand, a folder at a time
        for file, content in ready:
            name = posixpath.normpath(posixpath.join(into, file.path.lstrip("/")))
            if not name.startswith("/") or ".." in file.path.split("/"):
                raise ImageError(f"expected a path below {into}, got {file.path!r}")
            folder, base = posixpath.split(name)
            if folder not in folders:
                real, _ = overlay.resolve(below, folder)
                folders[folder] = overlay.make_folders(layer, real, self.owner, below)
            place = folders[folder] / base
            overlay.remove(place)
            overlay.link_or_copy(content, place)
