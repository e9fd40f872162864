"""Blobs: FindBlobs, Blob (a chunk on its way in), ReadBlob."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import ParamSpec, TypeVar

from ionian.protocol.messages import Blob, Done, FindBlobs, MissingBlobs, ReadBlob
from ionian.protocol.stream import Refused

from ..auth import Actor, PermissionDenied, Target, authorise
from ..blobs import BlobError, DiskFull, NoSuchBlob
from ..bucket import BucketError
from ..store.schema import App
from .context import Context, in_thread, in_thread_of
from .uploads import Upload

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
    upload = context.uploads.of(actor, message.digest, message.offset)
    async with upload.order:
        if upload.failed is not None:
            raise upload.failed
        if not upload.finished:
            await _take(upload, message, payload, context)
        if upload.finished:
            await _share(actor, message.digest, context)
            context.uploads.end(actor, upload)
    return Done(), b""


async def _take(upload: Upload, message: Blob, payload: bytes, context: Context) -> None:
    try:
        await _refusing(upload.write, context.blobs, message, payload)
    except Refused as refused:
        upload.failed = refused
        raise
    if upload.failed is not None and upload.writer is not None and not upload.finished:
        upload.writer.abandon()  # the stream was closed meanwhile
        raise upload.failed


async def _share(actor: Actor, digest: str, context: Context) -> None:
    """What a container wrote, the other containers of its app may read."""
    if actor.kind == "container":
        await in_thread(context.store.blob_grants.allow, actor.app_id, actor.environment, [digest])


async def share_blobs(actor: Actor, app: App, digests: Iterable[str], context: Context) -> None:
    """Lets the containers of `app` read blobs that the actor hands it in an input or a result.

    A container hands on only what its own app may read, else a guessed digest in an input to itself would do.
    """
    wanted = set(digests)
    if actor.kind == "container":
        lacking = wanted - await in_thread(context.store.blob_grants.allowed, actor.app_id, wanted)
        if lacking:
            raise PermissionDenied(f"app {actor.app_id} has no blob {min(lacking)[:80]!r} to hand on")
    await in_thread(context.store.blob_grants.allow, app.app_id, app.environment, wanted)


async def read_blob(actor: Actor, message: ReadBlob, _: bytes, context: Context) -> tuple[Blob, bytes]:
    """A part of a blob. A container reads what its app was given, sent, or wrote itself."""
    target = Target()
    if actor.kind == "container":
        allowed = await in_thread(context.store.blob_grants.allowed, actor.app_id, [message.digest])
        target = own(actor) if allowed else Target()
    authorise(actor, "ReadBlob", target)
    wanted = (message.digest, message.offset, min(message.length, READ_MAX))
    content = context.versions.content
    if actor.kind == "worker" and content.place and not await _refusing(context.blobs.has, message.digest):
        with _refusals():
            size, part = await in_thread_of(context.versions.threads, content.part, *wanted)
    else:
        size, part = await _refusing(context.blobs.part, *wanted)
    return Blob(message.digest, size, message.offset), part


def own(actor: Actor) -> Target:
    """What belongs to the actor itself."""
    return Target(actor.environment, actor.app_id)


async def _refusing(function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
    """Runs work on the blob store in a thread."""
    with _refusals():
        return await in_thread(function, *args, **kwargs)


@contextmanager
def _refusals() -> Generator[None]:
    """Errors of blobs become refusals."""
    try:
        yield
    except NoSuchBlob as error:
        raise Refused("NotFoundError", str(error)) from None
    except DiskFull as error:
        raise Refused("ResourceExhaustedError", str(error)) from None
    except BucketError as error:
        raise Refused("ServiceError", str(error)) from None
    except BlobError as error:
        raise Refused("InvalidError", str(error)) from None
