"""Images that persons remove: one of them, or all that nothing needs."""

from __future__ import annotations

from ionian.protocol.images import ImagesPruned, PruneImages, RemoveImage
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..store.schema import Image
from .context import Context, in_thread
from .images import image_of


async def remove_image(
    actor: Actor, message: RemoveImage, _: bytes, context: Context
) -> tuple[ImagesPruned, bytes]:
    """Removes an image that nothing needs."""
    row = await image_of(actor, "RemoveImage", message.image_id, message.environment, context)
    await _check_unused(row, context)
    named = await in_thread(context.store.images.names, row.environment)
    names = [each.name for each, _ in named if each.image_id == row.image_id]
    if names and not message.force:
        raise Refused(
            "ConflictError",
            f"image {row.image_id} is {', '.join(names)}: programs may look for it by that name; --force forgets the name, too",
        )
    done = ImagesPruned()
    if all(
        each.environment == row.environment
        for each in await in_thread(context.store.images.find, row.image_id)
    ):
        for name in names:
            await in_thread(context.store.images.unpublish, row.environment, name)
        collected = await context.image_garbage.collect(only=[row.image_id])
        if collected.busy:
            raise Refused(
                "ConflictError",
                f"a worker is building an image, and removes none meanwhile: remove {row.image_id} when it is done",
            )
        await in_thread(context.store.packed.forget, [row.image_id])
        done = ImagesPruned(collected.images, collected.freed, collected.used)
    await in_thread(context.store.images.forget, row.environment, row.image_id)
    return done, b""


async def _check_unused(row: Image, context: Context) -> None:
    for app_id in context.image_garbage.apps_with(row.image_id):
        app = await in_thread(context.store.apps.find, app_id)
        if app is not None:
            is_there = "is deployed" if app.version else "runs"
            raise Refused(
                "ConflictError",
                f"image {row.image_id} is needed by the app {app.name!r} of environment {app.environment!r}, which "
                f"{is_there}; stop it first: ionian app stop {app.app_id}",
            )
    if context.image_garbage.is_built(row.image_id):
        raise Refused("ConflictError", f"image {row.image_id} is being built; stop that first")


async def prune_images(
    actor: Actor, message: PruneImages, _: bytes, context: Context
) -> tuple[ImagesPruned, bytes]:
    """Removes what nothing needs, on all workers, whatever the environment."""
    authorise(actor, "PruneImages", Target())
    done = await context.image_garbage.collect(everything=True, min_age_s=max(0.0, message.unused_for_s))
    await in_thread(context.store.images.forget_all, done.images)
    await in_thread(context.store.packed.forget, done.images)
    return ImagesPruned(done.images, done.freed, done.used, done.busy), b""
