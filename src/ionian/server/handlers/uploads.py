"""Blobs on their way in: their chunks come one message each."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field

from ionian.protocol.messages import Blob
from ionian.protocol.stream import Refused

from ..auth import Actor
from ..blobs import BlobError, BlobStore, BlobWriter


@dataclass
class Upload:
    """One blob that one stream brings. Its chunks are written in the order in which they came.

    Two threads of a client may send the same content at once; the chunks are then the same too, so one that
    was written already is dropped.
    """

    digest: str
    prove: bool  # the whole content must come even where the store has it: having it gives a right to it
    order: asyncio.Lock = field(default_factory=asyncio.Lock)
    writer: BlobWriter | None = None
    finished: bool = False
    failed: Refused | None = None  # answered to the chunks that are on their way already

    def write(self, store: BlobStore, chunk: Blob, content: bytes) -> None:
        """Takes a chunk; blocks. Raises BlobError."""
        if self.writer is None:
            if not self.prove and not store.missing([self.digest]):
                self.finished = True
                return
            self.writer = store.writer(self.digest, chunk.size)
        writer = self.writer
        try:
            if chunk.size != writer.size or chunk.offset > writer.written:
                raise BlobError(
                    f"expected byte {writer.written} of {writer.size} of blob {self.digest}, "
                    f"got byte {chunk.offset} of {chunk.size}; send it again from its start"
                )
            if chunk.offset == writer.written:
                writer.write(content)
            if writer.written == writer.size:
                writer.finish()
                self.finished = True
        except BlobError:
            writer.abandon()
            raise

    def abandon(self) -> None:
        """Forgets what came. A chunk that is being written now sees it afterwards."""
        self.failed = Refused("ConnectionError", f"the stream that brought blob {self.digest} was closed")
        if self.writer is not None and not self.order.locked():
            self.writer.abandon()


class Uploads:
    """The uploads under way, by stream and digest."""

    def __init__(self) -> None:
        self._uploads: dict[tuple[str, int, str], Upload] = {}

    def of(self, actor: Actor, digest: str, offset: int) -> Upload:
        """The upload that a chunk belongs to. One that failed begins anew with its first chunk."""
        key = (actor.id, actor.stream, digest)
        upload = self._uploads.get(key)
        if upload is None or (offset == 0 and upload.failed is not None):
            upload = self._uploads[key] = Upload(digest, prove=actor.kind == "container")
        return upload

    def end(self, actor: Actor, upload: Upload) -> None:
        """Forgets an upload that is finished."""
        key = (actor.id, actor.stream, upload.digest)
        if self._uploads.get(key) is upload:
            del self._uploads[key]

    def abandon(self, actor: Actor) -> None:
        """The actor's stream is gone: what it had begun to send is dropped."""
        for key in [key for key in self._uploads if key[:2] == (actor.id, actor.stream)]:
            self._uploads.pop(key).abandon()

    def __len__(self) -> int:
        return len(self._uploads)
