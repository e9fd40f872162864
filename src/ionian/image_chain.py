"""The chain that an image is: steps, each on those before it, and files that come when a container starts."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, cast

from .exception import InvalidError
from .execution import is_local
from .image_steps import Step
from .local_files import LocalFile, LocalFolder

if TYPE_CHECKING:
    from .image import Image
    from .secret import Secret

    Secrets = Sequence[Secret]
    Variables = Mapping[str, str | None]


class Chain:
    """What the methods of an image work on; `image_*.py` have them by subject."""

    steps: tuple[Step, ...]
    mount_sources: tuple[LocalFile | LocalFolder, ...]
    known_id: str  # the server's, once it is built or found; else ""
    tried_id: str  # the same, from the begin of a build on
    import_error: Exception | None  # in a container: what failed inside `with image.imports()`

    def itself(self) -> Image:
        """This image, for a method that adds nothing."""
        return cast("Image", self)


def begin(step: Callable[[], Step]) -> Image:
    """An image that begins with this step."""
    return made((step(),) if is_local() else (), ())


def made(steps: tuple[Step, ...], mounts: tuple[LocalFile | LocalFolder, ...]) -> Image:
    """An image of these steps and files."""
    from .image import Image

    image = Image.__new__(Image)
    image.steps = steps
    image.mount_sources = mounts
    image.known_id = image.tried_id = ""
    image.import_error = None
    return image


def then(image: Chain, method: str, make: Callable[[], Step | list[Step] | None]) -> Image:
    """The image with more steps. In a container nothing is looked at: there the image was built long ago."""
    _check_chain(image, method)
    if not is_local():
        return made((), ())
    if image.mount_sources:
        raise InvalidError(
            f"{method} can't stand on files that are added without copy=True, as those come when a container starts: "
            "add them last, or write copy=True there"
        )
    new = make()
    steps = new if isinstance(new, list) else [] if new is None else [new]
    return made((*image.steps, *steps), ()) if steps else image.itself()


def add(
    image: Chain, method: str, copy: bool, make: Callable[[], tuple[str, list[LocalFile | LocalFolder]]]
) -> Image:
    """The image with files from here, as a step where `copy` is set."""
    _check_chain(image, method)
    if not is_local():
        return made((), ())
    folder, sources = make()
    if copy:
        return then(image, method, lambda: Step("COPY", (folder,), tuple(sources)))
    return made(image.steps, (*image.mount_sources, *(_below(folder, source) for source in sources)))


def _below(folder: str, source: LocalFile | LocalFolder) -> LocalFile | LocalFolder:
    remote = os.path.join(folder, source.remote)
    if isinstance(source, LocalFile):
        return source._replace(remote=remote)
    return LocalFolder(source.local, remote, source.ignore)


def _check_chain(image: Any, method: str) -> None:
    if not isinstance(image, Chain):
        raise InvalidError(
            f"Image.{method} needs an image to stand on: modal.Image.debian_slim().{method}(…)"
        )
