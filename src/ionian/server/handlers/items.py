"""Looks into dicts and queues: ReadDict, PeekQueue, MeasureQueue. What changes them goes by `server/items`."""

from __future__ import annotations

import asyncio
import time

from ionian.protocol.items import (
    PARTITION_MAX,
    ItemPage,
    MeasureQueue,
    PeekQueue,
    QueueMeasured,
    ReadDict,
    pack_values,
)
from ionian.protocol.stream import Refused

from ..auth import Actor
from ..store.item_reads import Page
from .blobs import share_blobs
from .context import Context, in_thread
from .objects import object_of

WAIT_MAX_S = 60.0


async def read_dict(actor: Actor, message: ReadDict, _: bytes, context: Context) -> tuple[ItemPage, bytes]:
    """A page of a dict."""
    await object_of(actor, "ReadDict", "dict", message.object_id, context)
    try:
        bytes.fromhex(message.after)
    except ValueError:
        raise Refused(
            "InvalidError", f"expected the end of another page, got {message.after[:80]!r}"
        ) from None
    page = await in_thread(context.store.item_reads.entries, message.object_id, message.what, message.after)
    return await _answer(actor, page, context)


async def peek_queue(actor: Actor, message: PeekQueue, _: bytes, context: Context) -> tuple[ItemPage, bytes]:
    """Items of a partition, which stay there; waits for a first one where the message asks for that."""
    await object_of(actor, "PeekQueue", "queue", message.object_id, context)
    partition = message.partition.encode()
    after = message.after or "0"
    if not after.isdecimal() or len(after) > 18 or message.limit < 1 or len(partition) > PARTITION_MAX:
        raise Refused("InvalidError", "expected the end of another page, a limit and a partition of a queue")
    end = time.monotonic() + min(message.wait_s, WAIT_MAX_S)
    while True:
        seen = context.desk.waiting.watch((message.object_id, partition))
        page = await in_thread(
            context.store.item_reads.items, message.object_id, partition, int(after), message.limit
        )
        left = end - time.monotonic()
        if page.rows or left <= 0:
            seen.cancel()
            return await _answer(actor, page, context)
        await asyncio.wait([seen], timeout=left)
        seen.cancel()


async def measure_queue(
    actor: Actor, message: MeasureQueue, _: bytes, context: Context
) -> tuple[QueueMeasured, bytes]:
    """How much is in a queue."""
    await object_of(actor, "MeasureQueue", "queue", message.object_id, context)
    size = await in_thread(context.store.item_reads.size, message.object_id)
    return QueueMeasured(size.partitions, size.items), b""


async def _answer(actor: Actor, page: Page, context: Context) -> tuple[ItemPage, bytes]:
    """A page; a container may read the blobs that its values stand for."""
    if actor.kind == "container":
        digests = [value.data.decode().split()[0] for value in page.values if value.blob]
        app = await in_thread(context.store.apps.find, actor.app_id) if digests else None
        if app is not None:
            await share_blobs(Actor("worker", ""), app, digests, context)
    return ItemPage(len(page.values), page.after, page.more), pack_values(page.values)
