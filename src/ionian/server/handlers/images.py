"""Images as objects: FindImage, ListImages, PublishImage and its kin, ReadImageLogs; and which known images a spec may stand on."""

from __future__ import annotations

from ionian.protocol.images import (
    EXPECTED_IMAGE,
    DeleteImageName,
    FindImage,
    ImageInfo,
    ImageList,
    ImageLogs,
    ImageName,
    ImageNames,
    ListImageNames,
    ListImages,
    PublishImage,
    ReadImageLogs,
    ReadImageName,
    image_id_of,
    is_image_id,
    split_name,
)
from ionian.protocol.layers import FindLayers, FoundLayers
from ionian.protocol.messages import Done
from ionian.protocol.spec import ImageSpec
from ionian.protocol.stream import Refused

from ..auth import Actor, Target, authorise
from ..store.images import decoded
from ..store.schema import Image, ImagePublication
from .context import Context, in_thread
from .names import environment_of, there_are
from .objects import name_of


async def find_image(actor: Actor, message: FindImage, _: bytes, context: Context) -> tuple[ImageInfo, bytes]:
    """An image by its id or by a name."""
    if message.image_id:
        row = await image_of(actor, "FindImage", message.image_id, message.environment, context)
        return info_of(row, with_spec=True), b""
    authorise(actor, "FindImage", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    name = checked(message.name)
    found = await in_thread(context.store.images.named, environment, name)
    if found is None:
        raise await _no_name(environment, name, context)
    rows = await in_thread(context.store.images.find, found.image_id, [environment])
    if not rows:  # its row goes together with its names
        raise await _no_name(environment, name, context)
    return info_of(rows[0], with_spec=True), b""


async def list_images(
    actor: Actor, message: ListImages, _: bytes, context: Context
) -> tuple[ImageList, bytes]:
    """The images of an environment."""
    authorise(actor, "ListImages", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    rows = await in_thread(context.store.images.list, environment)
    names: dict[str, list[str]] = {}
    for row, _at in await in_thread(context.store.images.names, environment):
        names.setdefault(row.image_id, []).append(row.name)
    return ImageList(environment, [info_of(row, names.get(row.image_id, ())) for row in rows]), b""


async def publish_image(
    actor: Actor, message: PublishImage, _: bytes, context: Context
) -> tuple[Done, bytes]:
    """Gives an image a name of an environment. It may have been built in another one that the actor may see."""
    authorise(actor, "PublishImage", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    name = checked(message.name)
    row = await image_of(actor, "PublishImage", message.image_id, "", context, prefer=environment)
    if row.state != "built":
        raise Refused(
            "InvalidError", f"image {row.image_id} was not built: {row.error or 'its build failed'}"
        )
    by = await name_of(actor, context)
    if row.environment != environment:
        await in_thread(
            context.store.images.built,
            environment,
            row.image_id,
            decoded(row),
            app=row.app,
            by=row.built_by,
            seconds=row.seconds,
            python=row.python,
            size=row.size,
            cached=True,
        )
    await in_thread(context.store.images.publish, environment, name, row.image_id, by)
    return Done(), b""


async def list_image_names(
    actor: Actor, message: ListImageNames, _: bytes, context: Context
) -> tuple[ImageNames, bytes]:
    """The names of an environment, and what they mean."""
    authorise(actor, "ListImageNames", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    found = await in_thread(context.store.images.names, environment, message.prefix)
    return ImageNames(environment, [_named(row, first) for row, first in found]), b""


async def read_image_name(
    actor: Actor, message: ReadImageName, _: bytes, context: Context
) -> tuple[ImageNames, bytes]:
    """What a name has meant, newest first."""
    authorise(actor, "ReadImageName", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    name = checked(message.name)
    found = await in_thread(context.store.images.history, environment, name)
    if not found:
        raise await _no_name(environment, name, context)
    return ImageNames(environment, [_named(row, row.published_at) for row in found]), b""


async def delete_image_name(
    actor: Actor, message: DeleteImageName, _: bytes, context: Context
) -> tuple[Done, bytes]:
    """Forgets a name."""
    authorise(actor, "DeleteImageName", Target(message.environment))
    environment = await environment_of(actor, message.environment, context)
    name = checked(message.name)
    if not await in_thread(context.store.images.unpublish, environment, name):
        raise await _no_name(environment, name, context)
    return Done(), b""


async def read_image_logs(
    actor: Actor, message: ReadImageLogs, _: bytes, context: Context
) -> tuple[ImageLogs, bytes]:
    """What the steps of an image printed."""
    row = await image_of(actor, "ReadImageLogs", message.image_id, message.environment, context)
    steps = max(0, message.steps)
    return ImageLogs(await in_thread(context.build_logs.read, row.environment, decoded(row), steps)), b""


async def find_layers(
    actor: Actor, message: FindLayers, _: bytes, context: Context
) -> tuple[FoundLayers, bytes]:
    """What a worker lacks and another has. Workers have the images of all environments."""
    authorise(actor, "FindLayers", Target())
    return await context.layers.find(actor.id, message)


async def image_of(
    actor: Actor, action: str, image_id: str, environment: str, context: Context, *, prefer: str = ""
) -> Image:
    """The image of an id, if the actor may do that with it."""
    if environment:
        authorise(actor, action, Target(environment))
    wanted = environment or actor.environment
    rows = await in_thread(context.store.images.find, image_id, [wanted] if wanted else [])
    authorise(actor, action, Target(rows[0].environment if rows else ""))
    rows.sort(key=lambda row: (row.state != "built", row.environment != prefer))
    if not is_image_id(image_id) or not rows:
        where = f" in environment {wanted!r}" if wanted else ""
        raise Refused(
            "NotFoundError",
            f"there is no image {image_id[:80]!r}{where}; `ionian image list` shows those there are",
        )
    return rows[0]


def check_images(image_id: str, image: ImageSpec, context: Context, actor: Actor) -> None:
    """Refuses an image under another's id, and one that stands on images that are not what their ids say. Blocks."""
    if image_id != image_id_of(image):
        raise Refused(
            "InvalidError",
            f"the id {image_id[:80]!r} is not that of this image; install the same version on both sides",
        )
    for instruction in image.instructions:
        if instruction.op != "FROM" or instruction.args[:1] != ["image"]:
            continue
        known = instruction.args[1] if len(instruction.args) > 1 else ""
        rows = context.store.images.find(known, [actor.environment] if actor.environment else [])
        if instruction.image is None or not any(decoded(row) == instruction.image for row in rows):
            raise Refused("NotFoundError", f"there is no image {known[:80]!r} any more; build it again")


def checked(name: str) -> str:
    """A name of an image, "tools:v2". Raises Refused where it is none."""
    parts = split_name(name)
    if parts is None or parts[0]:
        raise Refused("InvalidError", f"an image: expected {EXPECTED_IMAGE}, got {name[:80]!r}")
    return parts[1]


async def _no_name(environment: str, name: str, context: Context) -> Refused:
    names = [row.name for row, _ in await in_thread(context.store.images.names, environment)]
    return Refused(
        "NotFoundError",
        f"there is no image {name!r} in environment {environment!r}; {there_are(name, names)}; an image gets a name by "
        "image.publish(…)",
    )


def _named(row: ImagePublication, first: float) -> ImageName:
    return ImageName(row.name, row.image_id, first, row.published_at, row.published_by)


def info_of(row: Image, names: tuple[str, ...] | list[str] = (), *, with_spec: bool = False) -> ImageInfo:
    """An image as clients know it."""
    return ImageInfo(
        row.image_id,
        row.environment,
        row.state,  # type: ignore[arg-type]
        decoded(row) if with_spec else ImageSpec(),
        row.python,
        row.size,
        row.seconds,
        row.built_at,
        row.used_at,
        row.built_by,
        row.app,
        row.error,
        sorted(names),
    )
