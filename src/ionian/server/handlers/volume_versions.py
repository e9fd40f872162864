"""Versions of volumes: FindVersion and CommitChanges, of workers of other machines."""

from __future__ import annotations

from collections.abc import Callable

from ionian.machine.manifest import BadManifest
from ionian.protocol.stream import Refused
from ionian.protocol.volumes import CommitChanges, FindVersion, VolumeVersion

from ..auth import Actor
from ..blobs import FULL, BlobError, DiskFull, NoSuchBlob
from ..bucket import BucketError
from ..store.volumes import Commit
from ..volume_versions import LacksContent, VolumeGone
from .context import Context, in_thread_of
from .objects import object_of


async def find_version(
    actor: Actor, message: FindVersion, _: bytes, context: Context
) -> tuple[VolumeVersion, bytes]:
    """The newest version of a volume."""
    await object_of(actor, "FindVersion", "volume", message.volume_id, context)
    return VolumeVersion(await _asked(context, lambda: context.versions.newest(message.volume_id))), b""


async def commit_changes(
    actor: Actor, message: CommitChanges, _: bytes, context: Context
) -> tuple[VolumeVersion, bytes]:
    """Changes of a worker's become part of the newest version."""
    await object_of(actor, "CommitChanges", "volume", message.volume_id, context)
    who = f"worker {actor.id}" + (f" for container {message.container_id}" if message.container_id else "")
    commit = Commit(message.commit_id, message.answered) if message.commit_id else None
    version = await _asked(
        context, lambda: context.versions.commit(message.volume_id, message.changes, who, commit)
    )
    return VolumeVersion(version), b""


async def _asked(context: Context, work: Callable[[], str]) -> str:
    try:
        return await in_thread_of(context.versions.threads, work)
    except LacksContent as error:
        raise Refused("ConflictError", str(error)) from None
    except VolumeGone as error:
        raise Refused("NotFoundError", str(error)) from None
    except NoSuchBlob as error:
        raise Refused("DataLossError", str(error)) from None
    except DiskFull as error:
        raise Refused("ResourceExhaustedError", str(error)) from None
    except BucketError as error:
        raise Refused("ServiceError", str(error)) from None
    except (BadManifest, BlobError) as error:
        raise Refused("InvalidError", str(error)) from None
    except OSError as error:
        if error.errno in FULL:
            raise Refused("ResourceExhaustedError", f"the server's disk is full: {error.strerror}") from None
        raise
