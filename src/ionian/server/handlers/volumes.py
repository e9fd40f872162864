"""Volumes by name: FindVolume."""

from __future__ import annotations

from ionian.protocol.apps import FindVolume, FoundVolume
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from .context import Context, in_thread
from .names import check_name, environment_of


async def find_volume(
    actor: Actor, message: FindVolume, _: bytes, context: Context
) -> tuple[FoundVolume, bytes]:
    """A volume, made where it is missing and the message asks for that."""
    authorise(actor, "FindVolume", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    check_name("a volume", message.name)
    if message.create:
        volume = await in_thread(context.store.volumes.find_or_create, environment, message.name)
    else:
        volume = await in_thread(context.store.volumes.find, environment, message.name)
    if volume is None:
        raise Refused(
            "NotFoundError",
            f"there is no volume {message.name!r} in environment {environment!r}; "
            f"make it with Volume.from_name({message.name!r}, create_if_missing=True)",
        )
    await in_thread(context.state.volume, volume.volume_id)
    return FoundVolume(volume.volume_id), b""
