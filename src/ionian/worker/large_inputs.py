"""Inputs whose arguments are blobs, as a container takes them: the content in a file, which it reads by itself."""

from __future__ import annotations

import asyncio
from io import FileIO
from pathlib import Path

from ..protocol.batch import BLOB, Batch
from ..protocol.wire import PREFIX, RUN
from .blobs import Blobs

Part = tuple[Batch, bytes, FileIO | None]
"""Inputs of a batch, the entry that they are given by, and where its payload is if not in it."""


async def parts_of(batch: Batch, blobs: Blobs, folder: Path) -> list[Part]:
    """A batch in parts, in order: each input that names a blob apart. Raises what keeps a blob away."""
    parts: list[Part] = []
    inline: list[int] = []
    for row, code in enumerate(batch.code):
        if not code & BLOB:
            inline.append(row)
            continue
        parts += _inline(batch, inline)
        inline = []
        parts.append(await _large(batch.pick([row]), blobs, folder))
    return parts + _inline(batch, inline)


def _inline(batch: Batch, rows: list[int]) -> list[Part]:
    if not rows:
        return []
    some = batch.pick(rows)
    return [(some, some.pack(RUN), None)]


async def _large(one: Batch, blobs: Blobs, folder: Path) -> Part:
    digest, size = bytes(one.payload).decode().split()
    # Its own copy: a container whose user is ours could change the mode of the blob itself, and then its content.
    file = await asyncio.to_thread(blobs.copy, await blobs.fetch(digest), folder)
    columns = Batch(
        one.call_id, one.index, [int(size)], b"", attempt=one.attempt, micros=one.micros, code=[0]
    )
    header = columns.header()
    return columns, PREFIX.pack(RUN, len(header), int(size)) + header, file
