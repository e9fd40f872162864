"""The app of a shell: one function, of which the server makes a container for a person and none for inputs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import config
from ..app import App
from ..exception import InvalidError
from ..image import Image
from ..protocol.spec import FileRef, FunctionSpec, ImageSpec, Scaling
from ..secret import Secret
from ..volume import Volume
from . import output
from .publish import Publication
from .runner import AppRun

if TYPE_CHECKING:
    from ..function import Function
    from ..link import Link
    from .publish import ImageKey

    AnyFunction = Function[Any, Any, Any]

NAME = "shell"


def waits() -> None:
    """What the function of a shell without one of the user's would do: nothing calls it."""


def of_image(
    image: Image | None,
    *,
    volumes: Sequence[str],
    secrets: Sequence[str],
    local: Sequence[str],
    environment: str | None,
    resources: Mapping[str, Any],
) -> AnyFunction:
    """A function with this image; volumes by name at /mnt/NAME, and files from here at /mnt/NAME. Raises InvalidError."""
    image = Image.debian_slim() if image is None else image
    for given in local:
        path = Path(given).expanduser().resolve()
        if not path.exists():
            raise InvalidError(f"--add-local: there is no file or folder {given!r}")
        add = image.add_local_dir if path.is_dir() else image.add_local_file
        image = add(path, f"/mnt/{path.name}")
    app = App(NAME)
    return app.function(
        name=NAME,
        image=image,
        include_source=False,
        volumes={f"/mnt/{name}": Volume.from_name(name, environment_name=environment) for name in volumes},
        secrets=[Secret.from_name(name, environment_name=environment) for name in secrets],
        **resources,
    )(waits)


class ShellRun(AppRun):
    """While it lasts the server knows the function, and a shell of it can be started."""

    def __init__(self, function: AnyFunction, environment: str | None) -> None:
        app = App(NAME)
        app.registered_functions[function.tag] = function
        super().__init__(app, NAME, detach=False, environment=config.environment(environment), link=None)

    def __enter__(self) -> App:
        app = super().__enter__()
        report = output.current()
        if report is not None:
            report.show_progress = False  # from here on the terminal is the shell's
            report.screen.flush()
        return app

    def _publish(self, link: Link, environment: str) -> None:
        from .upload import Uploader

        uploader = Uploader(link)
        try:
            _ShellPublication(self._app, self._app_id, environment, link, uploader, self._report).publish()
        finally:
            uploader.close()


class _ShellPublication(Publication):
    """Defines the function so that nothing but a shell comes of it: no address, no schedule, no container in advance."""

    def _spec(
        self, function: AnyFunction, image_id: str, image: ImageSpec, mounts: list[FileRef]
    ) -> FunctionSpec:
        spec = super()._spec(function, image_id, image, mounts)
        spec.web, spec.schedule, spec.scaling, spec.snapshot = None, None, Scaling(), False
        if spec.class_spec is not None:
            for method in spec.class_spec.methods:
                method.web = None
        return spec

    def _check_pythons(self, functions: list[AnyFunction], pythons: dict[ImageKey, str]) -> None:
        """No value travels: whatever Python it has will do."""
        if not all(pythons.values()):
            raise InvalidError(
                "the image has no Python, which containers need; take one that has, or Image.debian_slim() with what you "
                "are after"
            )

    def _tell(self, specs: list[FunctionSpec], urls: dict[str, list[str]]) -> None:
        """There is nothing to call."""
