"""Blobs: FindBlobs, Blob (a chunk on its way in), ReadBlob."""

from __future__ import annotations

from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ionian.protocol.messages import Blob, Done, FindBlobs, MissingBlobs, ReadBlob
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..blobs import BlobError, DiskFull, NoSuchBlob
from .context import Context, in_thread
from .uploads import Upload, begin

P = ParamSpec("P")
R = TypeVar("R")

READ_MAX = 8 << 20
"""The longest part that one ReadBlob gets; a reader asks again for the rest."""


async def find_blobs(
    actor: Actor, message: FindBlobs, _: bytes, context: Context
) -> tuple[MissingBlobs, bytes]:
    """What the store lacks. A container is told of its own app's blobs alone: of others it would learn
    that somebody has the same content."""
    authorise(actor, "FindBlobs", own(actor))
    missing = await _refusing(context.blobs.missing, message.digests)
    if actor.kind == "container":
        allowed = await in_thread(context.store.blob_grants.allowed, actor.app_id, message.digests)
        lacking = set(missing)
        missing = [digest for digest in message.digests if digest in lacking or digest not in allowed]
    return MissingBlobs(missing), b""


async def write_blob(actor: Actor, message: Blob, payload: bytes, context: Context) -> tuple[Done, bytes]:
    """Takes a chunk. The answer to the last one says that the blob is synced."""
    authorise(actor, "Blob", own(actor))
    upload = context.uploads.of(actor, message.digest, first=message.offset == 0)
    async with upload.order:
        if upload.failed is not None:
            raise upload.failed
        try:
            finished = await _refusing(_write, upload, message, payload, context)
        except Refused as refused:
            upload.failed = refused
            raise
        if finished:
            if actor.kind == "container":
                await in_thread(
                    context.store.blob_grants.allow, actor.app_id, actor.environment, [message.digest]
                )
            context.uploads.end(actor, message.digest, upload)
    return Done(), b""


def _write(upload: Upload, message: Blob, payload: bytes, context: Context) -> bool:
    """Whether the blob is complete."""
    if message.offset == 0:
        upload.writer = begin(context.blobs, message.digest, message.size)
    writer = upload.writer
    end = message.offset + len(payload)
    if writer is None:  # the store has it: the chunks are dropped
        return end >= message.size
    try:
        if (message.size, message.offset) != (writer.size, writer.written):
            raise BlobError(
                f"expected byte {writer.written} of {writer.size} of blob {message.digest}, "
                f"got byte {message.offset} of {message.size}; send it again from its start"
            )
        writer.write(payload)
        if end < message.size:
            return False
        writer.finish()
    except BlobError:
        writer.abandon()
        raise
    return True


async def read_blob(actor: Actor, message: ReadBlob, _: bytes, context: Context) -> tuple[Blob, bytes]:
    """A part of a blob. A container reads what its app was given, sent, or wrote itself."""
    target = Target()
    if actor.kind == "container":
        allowed = await in_thread(context.store.blob_grants.allowed, actor.app_id, [message.digest])
        target = own(actor) if allowed else Target()
    authorise(actor, "ReadBlob", target)
    size = await _refusing(context.blobs.size, message.digest)
    part = await _refusing(context.blobs.read, message.digest, message.offset, min(message.length, READ_MAX))
    return Blob(message.digest, size, message.offset), part


def own(actor: Actor) -> Target:
    """What belongs to the actor itself."""
    return Target(actor.environment, actor.app_id)


async def _refusing(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs work on the blob store in a thread; its errors become refusals."""
    try:
        return await in_thread(function, *args, **kwargs)
    except NoSuchBlob as error:
        raise Refused("NotFoundError", str(error)) from None
    except DiskFull as error:
        raise Refused("ResourceExhaustedError", str(error)) from None
    except BlobError as error:
        raise Refused("InvalidError", str(error)) from None
