"""Images: what the containers of a function hold, one step on another."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

from . import later
from .exception import InvalidError
from .execution import is_local
from .image_chain import begin
from .image_commands import CommandSteps
from .image_conda import CondaSteps
from .image_dockerfile import DockerfileSteps
from .image_files import SOURCE_ROOT, FileSteps
from .image_function import FunctionSteps
from .image_objects import ImageObjects
from .image_packages import PackageSteps
from .image_projects import ProjectSteps
from .image_registries import RegistryImages
from .image_steps import Step, python_version
from .local_files import LocalFile, files

if TYPE_CHECKING:
    from typing import Concatenate, ParamSpec

    from .image_steps import Server
    from .protocol.spec import ImageSpec
    from .secret import Secret

    P = ParamSpec("P")

T = TypeVar("T")

__all__ = ["SOURCE_ROOT", "Image"]


@later.fill
class Image(
    ImageObjects,
    RegistryImages,
    DockerfileSteps,
    PackageSteps,
    ProjectSteps,
    CondaSteps,
    CommandSteps,
    FunctionSteps,
    FileSteps,
):
    """What containers hold. Each method returns a new image that stands on this one; nothing is built before an app
    that uses it runs, and each step is built once.

    ```python
    image = modal.Image.debian_slim(python_version="3.11").apt_install("ffmpeg").pip_install("numpy")
    ```
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise InvalidError("an Image begins with modal.Image.debian_slim() or modal.Image.from_registry(…)")

    # --- what an image stands on

    @staticmethod
    def debian_slim(python_version: str | None = None, force_build: bool = False) -> Image:
        """Debian with a Python of that version, None: the version that runs here.

        Raises InvalidError for a version that Ionian's container agent doesn't run on.
        """
        return begin(
            lambda: Step("FROM", ("debian_slim", _version(python_version))).given(force_build, None, None)
        )

    # --- not steps

    def imports(self) -> Imports:
        """For imports that only containers can do: what fails here is passed over, what fails in a container of this
        image fails the function.

        ```python
        with image.imports():
            import torch
        ```
        """
        return Imports(self)

    def pipe(self, func: Callable[Concatenate[Image, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`func(image, …)`, for chains."""
        return func(self, *args, **kwargs)

    # --- for the client

    def local_files(self) -> list[LocalFile]:
        """All files from here, of steps and mounts."""
        return files(tuple(source for step in self.steps for source in step.sources)) + self.mounts()

    def mounts(self) -> list[LocalFile]:
        """The files that containers get at their start, each at its absolute path there."""
        return files(self.mount_sources)

    def spec(self, server: Server) -> ImageSpec:
        """The image as the protocol says it."""
        from .protocol.spec import ImageSpec

        return ImageSpec([step.instruction(server) for step in self.steps])

    def secrets(self) -> list[Secret]:
        """The secrets that its steps use."""
        return [secret for step in self.steps for secret in step.secrets]

    def __repr__(self) -> str:
        return f"<Image {' | '.join(' '.join((step.op, *step.args)) for step in self.steps)}>"


class Imports:
    """The context of `Image.imports`."""

    def __init__(self, image: Image) -> None:
        self._image = image

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, traceback: Any) -> bool:
        if not isinstance(error, Exception):
            return False
        if not is_local():
            self._image.import_error = error
        elif not isinstance(error, ImportError):
            import warnings

            warnings.warn(f"in `with image.imports()`: {type(error).__name__}: {error}", stacklevel=2)
        return True


def _version(value: Any) -> str:
    return python_version(value)
