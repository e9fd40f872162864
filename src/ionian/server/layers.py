"""Layers that a worker lacks: which other worker has them, and their way through the blob store."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..protocol.layers import FindLayers, FoundLayers, GiveLayers
from ..protocol.stream import ConnectionLost, Peer, Refused
from .blobs import BlobError, BlobStore

if TYPE_CHECKING:
    from .server import Server

log = logging.getLogger("ionian.server")

ANSWER_S = 10.0
"""A worker says within it whether it has an image, or is left out: it looks at one small file for that."""


class LayerExchange:
    """Asks the other workers on behalf of one."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def find(self, worker_id: str, message: FindLayers) -> tuple[FoundLayers, bytes]:
        """What another worker has under a name, its layers being blobs by then."""
        if message.damaged:
            await asyncio.to_thread(remove_damaged, self._server.context.blobs, message.damaged)
        workers = self._server.engine.workers
        others = [worker for other, worker in workers.items() if other != worker_id]
        ask = GiveLayers(message.name, message.arch)
        having = await asyncio.gather(*(self._has(worker, ask) for worker in others))
        ask = GiveLayers(message.name, message.arch, pack=True)
        for worker in (worker for worker, has in zip(others, having, strict=True) if has):
            answer, known = await self._of(worker, ask)
            if answer.found:
                return answer, known
        return FoundLayers(), b""

    async def _has(self, worker: Peer, ask: GiveLayers) -> bool:
        try:
            async with asyncio.timeout(ANSWER_S):
                return (await self._of(worker, ask))[0].found
        except TimeoutError:
            return False

    async def _of(self, worker: Peer, ask: GiveLayers) -> tuple[FoundLayers, bytes]:
        try:
            answer, known = await worker.request(ask)
        except (ConnectionLost, Refused) as error:
            log.warning("image=%s was not had from a worker: %s", ask.name, error)
            return FoundLayers(), b""
        assert isinstance(answer, FoundLayers)
        return answer, known


def remove_damaged(blobs: BlobStore, digests: Iterable[str]) -> None:
    """Removes blobs that really are not what their digests say, so that they are made again. Blocks."""
    for digest in digests:
        try:
            with blobs.path(digest).open("rb") as file:
                seen = hashlib.file_digest(file, "sha256").hexdigest()
        except (BlobError, OSError):
            continue
        if seen != digest:
            log.warning("blob=%s holds what has the digest %s: it is removed", digest, seen)
            blobs.path(digest).unlink(missing_ok=True)
