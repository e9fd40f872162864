"""Blobs on their way in: their chunks come one message each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ionian.protocol.stream import Refused

from ..auth import Actor
from ..blobs import BlobStore, BlobWriter


@dataclass
class Upload:
    """One blob that one peer is sending. Its chunks are written in the order in which they came."""

    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    writer: BlobWriter | None = None
    failed: Refused | None = None  # answered to this chunk and every later one


class Uploads:
    """The uploads under way, by peer and digest."""

    def __init__(self) -> None:
        self._uploads: dict[tuple[str, str], Upload] = {}

    def of(self, actor: Actor, digest: str, *, first: bool) -> Upload:
        """The upload that a chunk belongs to. Its first chunk begins it, again where it had begun."""
        key = (actor.id, digest)
        if first:
            self._drop(key)
            self._uploads[key] = Upload()
        upload = self._uploads.get(key)
        if upload is None:
            raise Refused(
                "InvalidError", f"expected the first chunk of blob {digest} before others; send it again"
            )
        return upload

    def end(self, actor: Actor, digest: str, upload: Upload) -> None:
        """Forgets an upload that is finished or has failed for good."""
        if self._uploads.get((actor.id, digest)) is upload:
            del self._uploads[actor.id, digest]

    def abandon(self, actor: Actor) -> None:
        """The peer's stream is gone: what it had begun is dropped."""
        for key in [key for key in self._uploads if key[0] == actor.id]:
            self._drop(key)

    def __len__(self) -> int:
        return len(self._uploads)

    def _drop(self, key: tuple[str, str]) -> None:
        upload = self._uploads.pop(key, None)
        if upload is not None and upload.writer is not None and not upload.order.locked():
            upload.writer.abandon()


def begin(store: BlobStore, digest: str, size: int) -> BlobWriter | None:
    """A writer for the blob; None where the store has it already."""
    return store.writer(digest, size) if store.missing([digest]) else None
