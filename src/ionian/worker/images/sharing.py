"""Layers of one worker for another: packed when somebody asks for them, kept as blobs, and unpacked by who lacks them.

Not packed when they are built: most servers have one worker, and a layer of some gigabytes would cost it a minute of a core and its
size again for nobody. Who asks first waits for it; all others find the blob.

A layer is known to be another's by the digest of its packed form, not by its name: two workers that each built a step may have got
different files, and what was built upon one never stands on the other.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from ionian.protocol.layers import PACKING, Below, FindLayers, FoundLayers, PackedLayer
from ionian.protocol.messages import FindBlobs
from ionian.protocol.stream import ConnectionLost, Refused

from ... import faults
from ..blobs import WrongContent
from ..sandbox import remove_folders
from . import packed
from .bases import architecture
from .locks import locked, shared
from .packed import Damaged
from .records import Record, write_whole

if TYPE_CHECKING:
    from .store import ImageStore

log = logging.getLogger("ionian.worker")

NAME = re.compile(r"[A-Za-z0-9-]{1,80}")


class Blobs(Protocol):
    """Where packed layers are kept."""

    async def fetch(self, digest: str) -> Path:
        """The file with this content."""
        ...

    async def store_path(self, path: Path) -> str:
        """Keeps a file on the server; returns its digest."""
        ...

    def drop(self, digest: str) -> None:
        """Forgets what was fetched."""
        ...


class Packs:
    """What the layers of a store are when they are packed, as far as that is known."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def of(self, name: str) -> PackedLayer | None:
        """The packed form of a layer; None where nobody has packed it, or unpacked it here."""
        with suppress(OSError, ValueError, TypeError):
            digest, size = json.loads(self._file(name).read_text())
            return PackedLayer(name, digest, size)
        return None

    def keep(self, layer: PackedLayer) -> None:
        """Remembers it. Its layer is in its place by now: else another might get there first."""
        write_whole(self._file(layer.name), json.dumps([layer.digest, layer.size]).encode())

    def forget(self, name: str) -> None:
        """The layer is about to go."""
        self._file(name).unlink(missing_ok=True)

    def _file(self, name: str) -> Path:
        return self._root / "k" / f"{name}.packed"


class Sharing:
    """The layers of a store, for other workers; and theirs for it."""

    def __init__(
        self,
        store: ImageStore,
        blobs: Blobs,
        ask: Callable[[Any], Awaitable[tuple[Any, bytes]]],
    ) -> None:
        """`ask` sends a request to the server. Raises ConnectionLost or Refused."""
        self._store = store
        self._blobs = blobs
        self._ask = ask

    # --- for others

    async def give(self, name: str, arch: str, *, pack: bool) -> tuple[FoundLayers, bytes]:
        """What a name stands for here; with `pack` its layers are blobs then. Raises Unpackable, OSError."""
        if (record := self._known(name, arch)) is None:
            return FoundLayers(), b""
        if not pack:
            return FoundLayers(True), b""
        async with shared(self._store.collecting):  # no layer is removed meanwhile
            if (record := self._known(name, arch)) is None:
                return FoundLayers(), b""
            layers = [await self._packed(layer) for layer in record.layers]
            below = await asyncio.to_thread(_standing, self._store, record)
        return FoundLayers(True, layers, below), msgspec.json.encode(record)

    def _known(self, name: str, arch: str) -> Record | None:
        record = self._store.known_as(name) if NAME.fullmatch(name) else None
        return record if record is not None and record.arch == arch else None

    async def _packed(self, name: str) -> PackedLayer:
        store = self._store
        async with locked(store.root / "locks" / f"{name}.pack"):
            known = store.packs.of(name)
            if known is not None:
                missing, _ = await self._ask(FindBlobs([known.digest]))
                if not missing.digests:
                    return known
            began = time.monotonic()
            scratch = store.scratch(f"{name}pack")
            scratch.mkdir()
            try:
                file = scratch / "layer.tar.zst"
                digest, size = await asyncio.to_thread(packed.pack, store.path(name), file, store.ids)
                if faults.ARMED:
                    faults.reach("worker.packed")
                await self._blobs.store_path(file)
            finally:
                await asyncio.shield(remove_folders([scratch], store.ids))
            layer = PackedLayer(name, digest, size)
            store.packs.keep(layer)
            log.info("layer=%s packed size=%d seconds=%.1f", name, size, time.monotonic() - began)
            return layer

    # --- from others

    async def bring(self, name: str) -> tuple[Record, int] | None:
        """What another worker has under a name, and how many layers of it were fetched; None where nobody has it.

        What hinders it is in the log: the image is built then. Whoever calls it sees to it that no layer is removed meanwhile.
        """
        try:
            return await self._bring(name)
        except (ConnectionLost, Refused, OSError, Damaged) as error:
            log.warning("image=%s could not be had from another worker, and is built: %s", name, error)
            return None

    async def _bring(self, name: str) -> tuple[Record, int] | None:
        damaged: list[str] = []
        began = time.monotonic()
        while (found := await self._find(name, damaged)) is not None:
            record, layers = found
            if (ours := self._store.load(record.key)) is not None:
                return ours, 0
            try:
                record, fetched = await self._placed(record, layers)
            except _Broken as broken:
                if damaged:
                    raise
                damaged = [broken.layer.digest]
                log.warning("%s; asking for it again", broken)
                continue
            log.info(
                "image=%s is another worker's: layers=%d fetched=%d seconds=%.1f, and nothing was built",
                *(name, len(layers), fetched, time.monotonic() - began),
            )
            return record, fetched
        return None

    async def _find(self, name: str, damaged: Sequence[str]) -> tuple[Record, list[PackedLayer]] | None:
        found, known = await self._ask(FindLayers(name, architecture(), list(damaged)))
        if not isinstance(found, FoundLayers) or not found.found:
            return None
        try:
            record = msgspec.json.decode(known, type=Record)
        except msgspec.MsgspecError as error:
            raise Damaged(f"what is known of it can't be read: {error}") from None
        if record.arch != architecture() or record.layers != [layer.name for layer in found.layers]:
            raise Damaged("what is known of it has other layers")
        if other := next((layer.packing for layer in found.layers if layer.packing != PACKING), ""):
            raise Damaged(f"its layers are packed as {other!r}; this worker knows {PACKING}")
        return record, found.layers

    async def _placed(self, record: Record, layers: Sequence[PackedLayer]) -> tuple[Record, int]:
        names: dict[str, str] = {}
        fetched = 0
        for layer in layers:
            names[layer.name], new = await self._place(layer)
            fetched += new
        return record.but(layers=list(names.values()), base=names.get(record.base, record.base)), fetched

    async def _place(self, layer: PackedLayer) -> tuple[str, bool]:
        """The name under which a layer is here, and whether it had to be fetched for that."""
        for name in (layer.name[:12], layer.digest[:12]):
            if not NAME.fullmatch(name):
                raise Damaged(f"{name!r} is no name of a layer")
            async with self._store.layer(name, "shared") as draft:
                if draft is not None:
                    draft.make(self._store.owner)
                    await self._unpack(layer, draft.folder)
            if draft is not None:
                self._store.packs.keep(PackedLayer(name, layer.digest, layer.size))
                return name, True
            known = self._store.packs.of(name)
            if known is not None and known.digest == layer.digest:
                return name, False
        # Under the name that is its digest's lies what a worker that was killed had no time to say so of.
        self._store.packs.keep(PackedLayer(layer.digest[:12], layer.digest, layer.size))
        return layer.digest[:12], False

    async def _unpack(self, layer: PackedLayer, folder: Path) -> None:
        try:
            file = await self._blobs.fetch(layer.digest)
            await asyncio.to_thread(packed.unpack, file, folder, layer.digest, self._store.owner.give)
            if faults.ARMED:
                faults.reach("worker.unpacked")
        except (Damaged, WrongContent) as error:
            raise _Broken(layer, error) from None
        finally:
            self._blobs.drop(layer.digest)


def _standing(store: ImageStore, record: Record) -> list[Below]:
    """All that has the lowest layers of a record, under each of its names. Blocks."""
    found: list[Below] = []
    for name, other in store.names():
        count = len(other.layers)
        if other.arch == record.arch and other.layers == record.layers[:count] and NAME.fullmatch(name):
            found.append(Below(name, count, msgspec.json.encode(other).decode()))
    return found


class _Broken(Damaged):
    """A packed layer came damaged."""

    def __init__(self, layer: PackedLayer, error: Exception) -> None:
        super().__init__(f"the packed layer {layer.name} ({layer.digest[:12]}) is damaged: {error}")
        self.layer = layer
