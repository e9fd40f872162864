"""Layers that a worker lacks: which other worker has them, their way through the blob store, and what is still there of
workers that are gone."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

from ..protocol.layers import FindLayers, FoundLayers, GiveLayers
from ..protocol.stream import ConnectionLost, Peer, Refused
from .blobs import BlobError, BlobStore
from .store import Store, StoreError

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
        """What another worker has, or one that is gone has had, under a name, its layers being blobs by then."""
        store, blobs = self._server.store, self._server.context.blobs
        if message.damaged:
            await asyncio.to_thread(remove_damaged, blobs, message.damaged)
        workers = self._server.engine.workers
        others = [worker for other, worker in workers.items() if other != worker_id]
        ask = GiveLayers(message.name, message.arch)
        having = await asyncio.gather(*(self._has(worker, ask) for worker in others))
        ask = GiveLayers(message.name, message.arch, pack=True)
        for worker in (worker for worker, has in zip(others, having, strict=True) if has):
            answer, known = await self._of(worker, ask)
            if answer.found:
                await asyncio.to_thread(keep, store, blobs, message, answer, known)
                return FoundLayers(True, answer.layers), known
        return await asyncio.to_thread(kept, store, blobs, message)

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


def keep(store: Store, blobs: BlobStore, asked: FindLayers, given: FoundLayers, known: bytes) -> None:
    """What a worker gave stays to be had when it is gone. Blocks."""
    try:
        if not blobs.missing(layer.digest for layer in given.layers):
            store.packed.keep(asked.name, asked.arch, given, known.decode())
    except (BlobError, StoreError, ValueError) as error:  # the worker that asked has what it asked for
        log.warning("image=%s: what its packed layers are could not be kept: %s", asked.name, error)


def kept(store: Store, blobs: BlobStore, asked: FindLayers) -> tuple[FoundLayers, bytes]:
    """What there still is under a name. Its blobs count as used now. Blocks."""
    found = store.packed.find(asked.name, asked.arch)
    if found is None:
        return FoundLayers(), b""
    layers, known = found
    if missing := blobs.missing(layer.digest for layer in layers):
        store.packed.lost(missing)
        return FoundLayers(), b""
    return FoundLayers(True, layers), known.encode()


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
