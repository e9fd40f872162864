"""Images as objects of the server: built ahead, found again by id or by name, published, their builds' logs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import config, later
from .arguments import environment, integer, wrong
from .blocking import BlockingMethod
from .dashboard_link import OnDashboard
from .exception import ExecutionError, InvalidError
from .execution import is_local
from .image_chain import Chain, made
from .image_steps import Step
from .logs import LogEntry
from .steps import Item, Steps, StepsMethod, StreamMethod

if TYPE_CHECKING:
    from .app import App
    from .image import Image
    from .protocol.images import ImageInfo, StepLog


class ImageObjects(OnDashboard, Chain):
    """What concerns images that are built."""

    @staticmethod
    def from_id(image_id: str, client: Any = None) -> Image:
        """The image of an id, built before; it is asked for when it is used, and is never built anew by a program."""
        from .protocol.images import is_image_id

        later.refuse("Image.from_id", client=client)
        if is_local() and not (isinstance(image_id, str) and is_image_id(image_id)):  # pyright: ignore[reportUnnecessaryIsInstance]
            raise wrong("image_id", 'the id of an image, "im-…"', image_id)
        image = made((Step("FROM", ("image", image_id)),) if is_local() else (), ())
        image.known_id = image_id
        return image

    @staticmethod
    def from_name(name: str, *, environment_name: str | None = None, client: Any = None) -> Image:
        """The image that was published under a name, "name", "name:tag" or "environment/name:tag"; the tag is
        "latest" unless given. It is asked for when it is used: NotFoundError where there is none."""
        later.refuse("Image.from_name", client=client)
        if not is_local():
            return made((), ())
        where, full = _split(name, environment_name)
        return made((Step("FROM", ("named", full, where)),), ())

    @BlockingMethod
    def build(self, app: App | None = None) -> Image:
        """Builds the image now, where it isn't there already, and returns it.

        `app` is one that runs, or that `App.lookup` found; without one the build has an app of its own.

        ```python
        image = modal.Image.debian_slim().pip_install("numpy").build()
        image.publish("tools:v2")
        ```

        Raises ImageBuildError for a step that fails.
        """
        if not is_local():
            raise ExecutionError("images are built by programs outside of containers, and this is one inside")
        from .client.images import build

        return build(self.itself(), app)

    @StepsMethod
    def publish(
        self,
        name: str,
        *,
        environment_name: str | None = None,
        experimental_options: dict[str, Any] | None = None,
        client: Any = None,
    ) -> Steps[None]:
        """Gives a built image a name, such as "tools" or "tools:v2"; the tag is "latest" unless given. From then on
        `Image.from_name` means this one, and no longer what had the name before.

        Raises InvalidError before the image is built.
        """
        from .protocol.images import PublishImage

        later.refuse("Image.publish", experimental_options=experimental_options, client=client)
        where, full = _split(name, environment_name)
        if not self.known_id and not self._is_found:
            raise InvalidError(f"{self!r} can't be published before it is built: call .build() first")
        image_id = self.known_id or (yield from self._found()).image_id
        yield PublishImage(image_id, full, config.environment(where))

    @StepsMethod
    def hydrate(self, client: Any = None) -> Steps[Image]:
        """Sees to it that there is such an image, and returns it. Raises NotFoundError where there is none, ExecutionError
        for an image that was not built yet."""
        later.refuse("Image.hydrate", client=client)
        if self._is_found:
            yield from self._found()
        elif not self.known_id:
            raise ExecutionError(
                f"{self!r} has no id before it is built: call .build(), or run an app that uses it"
            )
        return self.itself()

    @property
    def object_id(self) -> str:
        """The server's id. Raises ExecutionError before it is known: `build()`, or the run of an app, makes it so."""
        if not self.known_id:
            raise ExecutionError(
                f"{self!r} has no id before it is built or found: call .build() or .hydrate()"
            )
        return self.known_id

    @property
    def logs(self) -> ImageLogsManager:
        """What the build printed."""
        return ImageLogsManager(self)

    # --- for the client

    @property
    def _is_found(self) -> bool:
        """Whether it is an image that was built before and no steps of its own."""
        return len(self.steps) == 1 and self.steps[0].args[0] in ("image", "named")

    def _found(self) -> Steps[ImageInfo]:
        info = yield from found(self.steps[0])
        self.known_id = info.image_id
        return info


class ImageLogsManager:
    """What the steps of an image's build printed, kept by step: a step that was there already has the log of the build
    that made it.

    ```python
    for entry in image.logs.fetch(layers=2):
        print(entry.message, end="")
    ```
    """

    def __init__(self, image: ImageObjects) -> None:
        self._image = image

    @StreamMethod
    def fetch(self, layers: int | None = 1) -> Steps[None]:
        """The lines of the last steps, oldest first: of so many steps, or of all where `layers` is None."""
        wanted = 0 if layers is None else integer("layers", layers, least=1)
        for step in (yield from self._steps(wanted)):
            for entry in self._entries(step):
                yield Item(entry)

    @StreamMethod
    def tail(self, entries: int = 100) -> Steps[None]:
        """The last lines, oldest first: `entries` of them at most."""
        integer("entries", entries, least=1)
        steps = yield from self._steps(0)
        lines = [entry for step in steps for entry in self._entries(step)]
        for entry in lines[-entries:]:
            yield Item(entry)

    def _steps(self, wanted: int) -> Steps[list[StepLog]]:
        from .protocol.images import ReadImageLogs

        image = self._image
        if not image.known_id and image._is_found:  # pyright: ignore[reportPrivateUsage]
            yield from image._found()  # pyright: ignore[reportPrivateUsage]
        image_id = image.known_id or image.tried_id
        if not image_id:
            raise InvalidError(f"{image!r} has no logs before it is built")
        answer, _ = yield ReadImageLogs(image_id, steps=wanted)
        return answer.steps

    def _entries(self, step: StepLog) -> list[LogEntry]:
        from datetime import datetime, timezone

        image_id = self._image.known_id or self._image.tried_id
        return [
            LogEntry(f"{line.text}\n", datetime.fromtimestamp(line.at, timezone.utc), "stdout", image_id, [])
            for line in step.lines
        ]


def found(step: Step) -> Steps[ImageInfo]:
    """The image that a step begins with, asked for."""
    from .protocol.images import FindImage

    if step.args[0] == "image":
        info, _ = yield FindImage(step.args[1])
    else:
        info, _ = yield FindImage(name=step.args[1], environment=config.environment(step.args[2]))
    return info


def _split(name: Any, environment_name: Any) -> tuple[str, str]:
    """The environment ("": the current one) and the "name:tag" that a name means."""
    from .protocol.images import EXPECTED_IMAGE, split_name

    parts = split_name(name) if isinstance(name, str) else None
    if parts is None:
        raise wrong("name", EXPECTED_IMAGE, name)
    where = environment(environment_name)
    if where and parts[0]:
        raise InvalidError(f"environment_name can't be given with a name that has an environment: {name!r}")
    return where or parts[0], parts[1]
