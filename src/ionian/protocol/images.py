"""Images as objects: built ones by their ids, names under which they are published, what their builds printed."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Literal

from . import names
from .spec import ImageSpec, Instruction

ImageState = Literal["built", "failed"]

EXPECTED_IMAGE = (
    'a name such as "tools", "tools:v2" or "env/tools:v2", each part of 1 to 64 characters of A-Z a-z 0-9 - _ . '
    "and none that begins with im-"
)


@dataclass
class FindImage:
    """Asks for a built image by its id, or by a name. Answered by ImageInfo. `environment` "": of a name, the peer's own;
    of an id, wherever it is."""

    image_id: str = ""
    name: str = ""  # "tools:v2"
    environment: str = ""


@dataclass
class ImageInfo:
    """An image that was built, or whose build failed. Times are seconds since 1970."""

    image_id: str
    environment: str
    state: ImageState = "built"
    image: ImageSpec = field(default_factory=ImageSpec)  # empty in a list
    python: str = ""  # "3.11"; "": it has none
    size: int = 0  # bytes on the disk of its layers
    seconds: float = 0.0  # that its last build took
    built_at: float = 0.0
    used_at: float = 0.0
    built_by: str = ""
    app: str = ""  # the name of the app for which it was built first
    error: str = ""  # of a failed one
    names: list[str] = field(default_factory=list[str])


@dataclass
class ListImages:
    """Asks for the images of an environment, newest first. Answered by ImageList."""

    environment: str = ""


@dataclass
class ImageList:
    """The answer to ListImages."""

    environment: str
    images: list[ImageInfo] = field(default_factory=list[ImageInfo])


@dataclass
class PublishImage:
    """Gives a built image a name, which then means this image and no longer another. Answered by Done."""

    image_id: str
    name: str  # "tools:v2"
    environment: str = ""


@dataclass
class ListImageNames:
    """Asks for the names of an environment that begin with `prefix`. Answered by ImageNames."""

    environment: str = ""
    prefix: str = ""


@dataclass
class ImageName:
    """A name, and what it means now."""

    name: str
    image_id: str
    created_at: float
    updated_at: float
    published_by: str = ""


@dataclass
class ImageNames:
    """The answer to ListImageNames, and to ReadImageName: there newest first, one for each time it was published."""

    environment: str
    names: list[ImageName] = field(default_factory=list[ImageName])


@dataclass
class ReadImageName:
    """Asks what a name has meant so far. Answered by ImageNames."""

    name: str
    environment: str = ""


@dataclass
class DeleteImageName:
    """Forgets a name and what it has meant; the images stay. Answered by Done."""

    name: str
    environment: str = ""


@dataclass
class RemoveImage:
    """Asks for an image to be removed from an environment, and from the workers if no other one has it. Answered by ImagesPruned;
    refused where an app that runs or is deployed needs it, or where it has a name and it isn't `force`, which forgets that."""

    image_id: str
    environment: str = ""
    force: bool = False


@dataclass
class PruneImages:
    """Asks for all images to be removed that nothing needs and that were not used for so long. Answered by ImagesPruned."""

    unused_for_s: float = 0.0


@dataclass
class ImagesPruned:
    """The answer to PruneImages and RemoveImage."""

    images: list[str] = field(default_factory=list[str])
    freed: int = 0  # bytes
    used: int = 0  # that layers still take, on all workers
    busy: bool = False  # a worker built an image, and removed nothing


@dataclass
class ReadImageLogs:
    """Asks what the last steps of an image's build printed, whichever build made them. Answered by ImageLogs."""

    image_id: str
    environment: str = ""
    steps: int = 0  # how many, from the end; 0: all


@dataclass
class StepLine:
    """A line that a step of a build printed."""

    at: float
    text: str


@dataclass
class StepLog:
    """What is kept of one step of a build. Without `began` nothing is: it printed too long ago, or was there already."""

    text: str
    state: Literal["done", "failed", ""] = ""
    began: float = 0.0
    seconds: float = 0.0
    size: int = 0  # bytes on the disk of the layer that it made
    lines: list[StepLine] = field(default_factory=list[StepLine])


@dataclass
class ImageLogs:
    """The answer to ReadImageLogs, in the order of the steps."""

    steps: list[StepLog] = field(default_factory=list[StepLog])


def every_instruction(image: ImageSpec) -> Iterator[Instruction]:
    """The instructions of an image, and of the images that it stands on."""
    for instruction in image.instructions:
        yield instruction
        if instruction.image is not None:
            yield from every_instruction(instruction.image)


def image_id_of(image: ImageSpec) -> str:
    """The id of an image: equal specs have equal ids. What is a known image and nothing else has that one's."""
    known = known_image(image)
    if known is not None:
        return known
    import json
    from dataclasses import asdict

    from .ids import derived_id

    return derived_id("im", json.dumps(asdict(image), sort_keys=True, separators=(",", ":")))


def known_image(image: ImageSpec) -> str | None:
    """The id of the image that this is, where it is one that was built before and has no steps of its own."""
    steps = image.instructions
    if len(steps) == 1 and steps[0].op == "FROM" and steps[0].args[:1] == ["image"]:
        return steps[0].args[1]
    return None


def split_name(name: str) -> tuple[str, str] | None:
    """A name as people write it, "[env/]name[:tag]": the environment or "", and "name:tag". None where it is none."""
    before, colon, tag = name.partition(":")
    environment, slash, base = before.rpartition("/")
    tag = tag if colon else "latest"
    good = names.is_object(base) and names.is_object(tag) and not base.startswith("im-")
    if not good or (slash and not names.is_environment(environment)):
        return None
    return environment, f"{base}:{tag}"


def is_image_id(text: str) -> bool:
    """Whether this is the id of an image."""
    return re.fullmatch(r"im-[0-9A-HJKMNP-TV-Z]{26}", text) is not None
