"""Volumes: FindVolume by name, and their files: ListFiles, ReadFile, PutFiles, FindExisting, RemoveFile, CopyFiles; and who has
them: FindVolumeUsers."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TypeVar

from ionian.machine.beneath import BadPath
from ionian.protocol.apps import FindVolume, FoundVolume
from ionian.protocol.messages import Done
from ionian.protocol.objects import FindObject
from ionian.protocol.stream import Refused
from ionian.protocol.volumes import (
    AT_ONCE,
    Copied,
    CopyFiles,
    CopyOffered,
    ExistingFiles,
    FileList,
    FilePart,
    FindExisting,
    FindVolumeUsers,
    ListFiles,
    NewFile,
    Placed,
    PlaceFiles,
    PutFiles,
    ReadFile,
    RemoveFile,
    VolumeUsers,
)

from ..auth import Actor, PermissionDenied, Target, authorise
from ..blobs import FULL, BlobError
from ..offers import Changed
from ..volume_files import Content, Draft, VolumeFiles
from .context import Context, in_thread
from .objects import find_object, name_of, object_of

log = logging.getLogger("ionian.server")

R = TypeVar("R")

READ_MAX = 8 << 20
"""The longest part that one ReadFile gets; a reader asks again for the rest."""

TOLD = (FileNotFoundError, FileExistsError, NotADirectoryError, IsADirectoryError)
"""Failures that programs tell apart."""


async def find_volume(
    actor: Actor, message: FindVolume, _: bytes, context: Context
) -> tuple[FoundVolume, bytes]:
    """A volume, made where it is missing and the message asks for that."""
    authorise(actor, "FindVolume", Target(message.environment))
    asked = FindObject("volume", message.name, message.environment, message.create)
    found, _ = await find_object(actor, asked, b"", context)
    await in_thread(context.state.volume, found.object_id)
    return FoundVolume(found.object_id), b""


async def list_files(actor: Actor, message: ListFiles, _: bytes, context: Context) -> tuple[FileList, bytes]:
    """What a folder of a volume holds."""
    files = await _files(actor, "ListFiles", message.volume_id, context)
    return FileList(*await _asked(lambda: files.list(message.path, message.after))), b""


async def read_file(actor: Actor, message: ReadFile, _: bytes, context: Context) -> tuple[FilePart, bytes]:
    """A part of a file of a volume."""
    files = await _files(actor, "ReadFile", message.volume_id, context)
    length = min(message.length, READ_MAX)
    return await _asked(lambda: files.read(message.path, message.offset, length))


async def find_existing(
    actor: Actor, message: FindExisting, _: bytes, context: Context
) -> tuple[ExistingFiles, bytes]:
    """Which paths of a volume are taken."""
    files = await _files(actor, "FindExisting", message.volume_id, context)
    return ExistingFiles(await _asked(lambda: files.existing(message.paths))), b""


async def find_volume_users(
    actor: Actor, message: FindVolumeUsers, _: bytes, context: Context
) -> tuple[VolumeUsers, bytes]:
    """Which apps mount a volume."""
    found = await object_of(actor, "FindVolumeUsers", "volume", message.volume_id, context)
    specs = await in_thread(context.store.functions.live_specs)
    return VolumeUsers(sorted({app for app, spec in specs if f'"{found.object_id}"' in spec})), b""


async def put_files(actor: Actor, message: PutFiles, payload: bytes, context: Context) -> tuple[Done, bytes]:
    """Writes files to a volume: of blobs that were sent before, and of the payload."""
    files = await _files(actor, "PutFiles", message.volume_id, context)
    _check_number(len(message.files))
    digests = {file.digest for file in message.files if file.digest}
    if actor.kind == "container":  # a guessed digest would show it what others have
        lacking = digests - await in_thread(context.store.blob_grants.allowed, actor.app_id, digests)
        if lacking:
            raise PermissionDenied(f"app {actor.app_id} has no blob {min(lacking)[:80]!r} to write")
    replaced = await _asked(
        lambda: files.put(_contents(message.files, payload, context), force=message.force)
    )
    await _log_replaced(replaced, message.volume_id, actor, context)
    return Done(), b""


async def copy_offered(
    actor: Actor, message: CopyOffered, _: bytes, context: Context
) -> tuple[Copied, bytes]:
    """Copies a part of a file that its client, on this machine, has offered."""
    files = await _files(actor, "CopyOffered", message.volume_id, context)
    offer = context.offers.find(message.key)
    if offer is None:
        return Copied(False), b""
    try:
        await context.offers.in_thread(offer.copy, files.new_draft(), message.offset)
    except Changed as error:
        raise Refused("ExecutionError", f"{message.path[:200]}: {error}") from None
    except OSError as error:
        raise _refusal(OSError(error.errno, f"{message.path[:200]}: {error.strerror}")) from None
    return Copied(True, offer.copied, offer.size), b""


async def place_files(actor: Actor, message: PlaceFiles, _: bytes, context: Context) -> tuple[Placed, bytes]:
    """Writes files to a volume whose content was copied before."""
    files = await _files(actor, "PlaceFiles", message.volume_id, context)
    _check_number(len(message.files))
    drafts: list[Draft] = []
    missing: list[str] = []
    for file in message.files:
        offer = context.offers.find(file.key)
        if offer is None or not offer.complete or offer.draft is None:
            missing.append(file.key)
        else:
            drafts.append(Draft(file.path, file.mode & 0o777, offer.draft))
    if not missing and drafts:
        replaced = await _asked(lambda: files.place(drafts, force=message.force))
        for file in message.files:
            context.offers.forget(file.key)
        await _log_replaced(replaced, message.volume_id, actor, context)
    return Placed(missing), b""


def _check_number(count: int) -> None:
    if count > AT_ONCE:
        raise Refused("InvalidError", f"expected up to {AT_ONCE} files at once, got {count:,}")


async def _log_replaced(replaced: list[str], volume_id: str, actor: Actor, context: Context) -> None:
    """Of two writers of one file the last wins: who misses the other's work finds it here."""
    if replaced:
        who = await name_of(actor, context)
        log.info("volume=%s files=%d replaced by %s, one is %r", volume_id, len(replaced), who, replaced[0])


def _contents(files: list[NewFile], payload: bytes, context: Context) -> list[Content]:
    contents: list[Content] = []
    at = 0
    for file in files:
        if file.digest:
            if context.blobs.missing([file.digest]):
                raise Refused("NotFoundError", f"{file.path[:200]}: its content was not sent; send it again")
            contents.append(Content(file.path, file.mode & 0o777, context.blobs.path(file.digest)))
            continue
        part = payload[at : at + file.size]
        at += file.size
        if file.size < 0 or len(part) != file.size:
            raise Refused(
                "InvalidError", f"{file.path[:200]}: expected {file.size:,} bytes, got {len(part):,}"
            )
        contents.append(Content(file.path, file.mode & 0o777, part))
    return contents


async def remove_file(actor: Actor, message: RemoveFile, _: bytes, context: Context) -> tuple[Done, bytes]:
    """Removes a file or folder of a volume."""
    files = await _files(actor, "RemoveFile", message.volume_id, context)
    await _asked(lambda: files.remove(message.path, recursive=message.recursive))
    return Done(), b""


async def copy_files(actor: Actor, message: CopyFiles, _: bytes, context: Context) -> tuple[Done, bytes]:
    """Copies files within a volume."""
    files = await _files(actor, "CopyFiles", message.volume_id, context)
    await _asked(lambda: files.copy(message.sources, message.destination, recursive=message.recursive))
    return Done(), b""


async def _files(actor: Actor, action: str, volume_id: str, context: Context) -> VolumeFiles:
    found = await object_of(actor, action, "volume", volume_id, context)
    root = await in_thread(context.state.volume, found.object_id)
    return VolumeFiles(root, context.state.volume_drafts)


async def _asked(work: Callable[[], R]) -> R:
    """Does work on a volume's files in a thread; its errors become refusals."""
    try:
        return await in_thread(work)
    except (BadPath, BlobError) as error:
        raise Refused("InvalidError", str(error)) from None
    except OSError as error:
        raise _refusal(error) from None
    except RecursionError:
        raise Refused("InvalidError", "the folders are nested too deeply") from None


def _refusal(error: OSError) -> Refused:
    text = error.strerror or str(error)
    if error.errno in FULL:
        return Refused("ResourceExhaustedError", f"{text}; free some space and try again")
    return Refused(next((told.__name__ for told in TOLD if isinstance(error, told)), "InvalidError"), text)
