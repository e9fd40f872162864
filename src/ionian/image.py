"""Images: what the containers of a function hold, one step on another."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from . import later
from .arguments import absolute_path, string_list, strings, text, variables, wrong
from .exception import DeprecationError, InvalidError
from .execution import is_local
from .file_pattern_matcher import NON_PYTHON_FILES, matcher
from .image_steps import Step, package_names, pip_options, python_version
from .local_files import (
    LocalFile,
    LocalFolder,
    existing_file,
    existing_folder,
    files,
    module_sources,
    requirement_files,
)

if TYPE_CHECKING:
    from pathlib import Path
    from typing import Concatenate, ParamSpec

    from .image_steps import Refer
    from .protocol.spec import ImageSpec
    from .secret import Secret

    P = ParamSpec("P")
    Secrets = Sequence[Secret]
    Variables = Mapping[str, str | None]
    Ignored = Sequence[str] | Callable[[Path], bool]

T = TypeVar("T")

SOURCE_ROOT = "/root"
"""Where the user's modules lie in a container."""


@later.fill
class Image:
    """What containers hold. Each method returns a new image that stands on this one; nothing is built before an app
    that uses it runs, and each step is built once.

    ```python
    image = modal.Image.debian_slim(python_version="3.11").apt_install("ffmpeg").pip_install("numpy")
    ```
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        raise InvalidError("an Image begins with modal.Image.debian_slim() or modal.Image.from_registry(…)")

    steps: tuple[Step, ...]
    mount_sources: tuple[LocalFile | LocalFolder, ...]
    import_error: Exception | None  # in a container: what failed inside `with image.imports()`

    # --- what an image stands on

    @staticmethod
    def debian_slim(python_version: str | None = None, force_build: bool = False) -> Image:
        """Debian with a Python of that version, None: the version that runs here.

        Raises InvalidError for a version that Ionian's container agent doesn't run on.
        """
        return _image(
            lambda: Step("FROM", ("debian_slim", _version(python_version))).given(force_build, None, None)
        )

    @staticmethod
    def from_registry(
        tag: str,
        secret: Secret | None = None,
        *,
        setup_dockerfile_commands: Sequence[str] = [],
        force_build: bool = False,
        add_python: str | None = None,
        **kwargs: Any,
    ) -> Image:
        """An image of an OCI registry, such as "python:3.12-slim"; functions need a Python 3.10 or newer in it."""
        later.refuse(
            "Image.from_registry",
            secret=secret,
            setup_dockerfile_commands=setup_dockerfile_commands,
            add_python=add_python,
            kwargs=kwargs,
        )
        return _image(lambda: Step("FROM", ("registry", text("tag", tag))).given(force_build, None, None))

    # --- Python packages

    def pip_install(
        self,
        *packages: str | Sequence[str],
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Secrets | None = None,
        gpu: Any = None,
    ) -> Image:
        """Python packages, as pip writes them: `"numpy"`, `"torch>=2.4"`, `["a", "b"]`."""
        later.refuse("Image.pip_install", gpu=gpu)

        def step() -> Step | None:
            names = sorted(package_names("pip_install", packages))
            options = pip_options(find_links, index_url, extra_index_url, pre, extra_options)
            return Step("PIP", (*options, *names)).given(force_build, env, secrets) if names else None

        return _then(self, "pip_install", step)

    def uv_pip_install(
        self,
        *packages: str | Sequence[str],
        requirements: Sequence[str] | None = None,
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        uv_version: str | None = None,
        env: Variables | None = None,
        secrets: Secrets | None = None,
        gpu: Any = None,
    ) -> Image:
        """`pip_install` that takes requirements files besides. Both use uv here."""
        later.refuse("Image.uv_pip_install", gpu=gpu, uv_version=uv_version)

        def step() -> Step | None:
            names = sorted(package_names("uv_pip_install", packages))
            options = pip_options(find_links, index_url, extra_index_url, pre, extra_options)
            paths = string_list("requirements", requirements or [])
            sources, arguments = _requirements("requirements", paths)
            made = Step("PIP", (*options, *arguments, *names), tuple(sources))
            return made.given(force_build, env, secrets) if names or paths else None

        return _then(self, "uv_pip_install", step)

    def pip_install_from_requirements(
        self,
        requirements_txt: str | os.PathLike[str],
        find_links: str | None = None,
        *,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Secrets | None = None,
        gpu: Any = None,
    ) -> Image:
        """The packages of a requirements file here, and of those that it includes."""
        later.refuse("Image.pip_install_from_requirements", gpu=gpu)

        def step() -> Step:
            options = pip_options(find_links, index_url, extra_index_url, pre, extra_options)
            sources, arguments = _requirements("requirements_txt", [requirements_txt])
            return Step("PIP", (*options, *arguments), tuple(sources)).given(force_build, env, secrets)

        return _then(self, "pip_install_from_requirements", step)

    # --- the system

    def apt_install(
        self,
        *packages: str | Sequence[str],
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Secrets | None = None,
        gpu: Any = None,
    ) -> Image:
        """Debian packages."""
        later.refuse("Image.apt_install", gpu=gpu)

        def step() -> Step | None:
            names = package_names("apt_install", packages)
            return Step("APT", tuple(names)).given(force_build, env, secrets) if names else None

        return _then(self, "apt_install", step)

    def run_commands(
        self,
        *commands: str | Sequence[str],
        env: Variables | None = None,
        secrets: Secrets | None = None,
        volumes: Mapping[str, Any] | None = None,
        gpu: Any = None,
        force_build: bool = False,
    ) -> Image:
        """Shell commands, each a step of its own. `env` and `secrets` are there while they run, and not after."""
        later.refuse("Image.run_commands", gpu=gpu, volumes=volumes)

        def steps() -> list[Step]:
            lines = strings("run_commands", commands)
            return [
                Step("RUN", (text("run_commands", line),)).given(force_build, env, secrets) for line in lines
            ]

        return _then(self, "run_commands", steps)

    def env(self, vars: dict[str, str]) -> Image:
        """Environment variables of the steps that follow and of the containers."""

        def step() -> Step | None:
            pairs = variables("env", vars)
            if len(pairs) != len(vars):
                raise wrong("env", "a string for each variable", None)
            return Step("ENV", tuple(word for pair in pairs.items() for word in pair)) if pairs else None

        return _then(self, "env", step)

    def workdir(self, path: str | os.PathLike[str]) -> Image:
        """The working folder of the steps that follow and of the containers."""
        return _then(self, "workdir", lambda: Step("WORKDIR", (text("path", os.fspath(path)),)))

    def entrypoint(self, entrypoint_commands: list[str]) -> Image:
        """A program that starts each container's Python: it must end by running its arguments, as `exec "$@"` does."""
        return _then(
            self,
            "entrypoint",
            lambda: Step("ENTRYPOINT", tuple(string_list("entrypoint", entrypoint_commands))),
        )

    def shell(self, shell_commands: list[str]) -> Image:
        """The shell of the `run_commands` that follow: `["/bin/bash", "-c"]`."""
        return _then(self, "shell", lambda: Step("SHELL", tuple(string_list("shell", shell_commands))))

    def cmd(self, cmd: list[str]) -> Image:
        """What a sandbox of this image runs unless told otherwise."""
        return _then(self, "cmd", lambda: Step("CMD", tuple(string_list("cmd", cmd))))

    # --- files from here

    def add_local_file(
        self, local_path: str | os.PathLike[str], remote_path: str, *, copy: bool = False
    ) -> Image:
        """A file from here: there when a container starts, or with `copy` a step of the image, on which others stand.

        `remote_path` is absolute; one that ends in "/" is the folder.
        """

        def source() -> tuple[str, list[LocalFile | LocalFolder]]:
            local = existing_file("local_path", local_path)
            folder, name = os.path.split(absolute_path("remote_path", remote_path))
            return folder, [LocalFile(local, name or local.name)]

        return _add(self, "add_local_file", copy, source)

    def add_local_dir(
        self,
        local_path: str | os.PathLike[str],
        remote_path: str,
        *,
        copy: bool = False,
        ignore: Ignored = [],  # noqa: B006  (Modal's default, never changed)
    ) -> Image:
        """A folder from here, without what `ignore` matches: patterns as in `.dockerignore`, or a function of a path
        relative to the folder. `copy` as in `add_local_file`.
        """

        def source() -> tuple[str, list[LocalFile | LocalFolder]]:
            local = existing_folder("local_path", local_path)
            return absolute_path("remote_path", remote_path), [LocalFolder(local, "", matcher(ignore))]

        return _add(self, "add_local_dir", copy, source)

    def add_local_python_source(
        self, *modules: str, copy: bool = False, ignore: Ignored = NON_PYTHON_FILES
    ) -> Image:
        """Modules and packages from here, so that functions can import them. `copy` as in `add_local_file`."""

        def source() -> tuple[str, list[LocalFile | LocalFolder]]:
            ignored = matcher(ignore)
            return SOURCE_ROOT, [part for name in modules for part in module_sources(name, ignored)]

        return _add(self, "add_local_python_source", copy, source)

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

    def spec(self, refer: Refer, secret_id: Callable[[Secret], str]) -> ImageSpec:
        """The image as the protocol says it. `refer` stores the files of a step, `secret_id` names a secret."""
        from .protocol.spec import ImageSpec

        return ImageSpec([step.instruction(refer, secret_id) for step in self.steps])

    def secrets(self) -> list[Secret]:
        """The secrets that its steps use."""
        return [secret for step in self.steps for secret in step.secrets]

    def __repr__(self) -> str:
        return f"<Image {' | '.join(' '.join((step.op, *step.args)) for step in self.steps)}>"

    # --- retired

    def copy_local_file(self, local_path: str | os.PathLike[str], remote_path: str = "./") -> Image:
        """Retired: write `add_local_file(…, copy=True)`."""
        _warn_retired("copy_local_file", "add_local_file(…, copy=True)")
        return self.add_local_file(local_path, _below_root(remote_path), copy=True)

    def copy_local_dir(self, local_path: str | os.PathLike[str], remote_path: str = ".") -> Image:
        """Retired: write `add_local_dir(…, copy=True)`."""
        _warn_retired("copy_local_dir", "add_local_dir(…, copy=True)")
        return self.add_local_dir(local_path, _below_root(remote_path), copy=True)


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


def _image(step: Callable[[], Step]) -> Image:
    return _made((step(),) if is_local() else (), ())


def _made(steps: tuple[Step, ...], mounts: tuple[LocalFile | LocalFolder, ...]) -> Image:
    image = Image.__new__(Image)
    image.steps = steps
    image.mount_sources = mounts
    image.import_error = None
    return image


def _then(image: Image, method: str, make: Callable[[], Step | list[Step] | None]) -> Image:
    """The image with more steps. In a container nothing is looked at: there the image was built long ago."""
    _check_chain(image, method)
    if not is_local():
        return _made((), ())
    if image.mount_sources:
        raise InvalidError(
            f"{method} can't stand on files that are added without copy=True, as those come when a container starts: "
            "add them last, or write copy=True there"
        )
    made = make()
    steps = made if isinstance(made, list) else [] if made is None else [made]
    return _made((*image.steps, *steps), ()) if steps else image


def _add(
    image: Image, method: str, copy: bool, make: Callable[[], tuple[str, list[LocalFile | LocalFolder]]]
) -> Image:
    _check_chain(image, method)
    if not is_local():
        return _made((), ())
    folder, sources = make()
    if copy:
        return _then(image, method, lambda: Step("COPY", (folder,), tuple(sources)))
    return _made(image.steps, (*image.mount_sources, *(_below(folder, source) for source in sources)))


def _below(folder: str, source: LocalFile | LocalFolder) -> LocalFile | LocalFolder:
    remote = os.path.join(folder, source.remote)
    if isinstance(source, LocalFile):
        return source._replace(remote=remote)
    return LocalFolder(source.local, remote, source.ignore)


def _check_chain(image: Any, method: str) -> None:
    if not isinstance(image, Image):
        raise InvalidError(
            f"Image.{method} needs an image to stand on: modal.Image.debian_slim().{method}(…)"
        )


def _requirements(argument: str, paths: Sequence[Any]) -> tuple[list[LocalFile], list[str]]:
    """The files, each set in a folder of its own, and the arguments that name the first of each."""
    sources: list[LocalFile] = []
    arguments: list[str] = []
    for number, path in enumerate(paths):
        found = requirement_files(argument, path)
        sources += [file._replace(remote=f"{number}/{file.remote}") for file in found]
        arguments += ["--requirement", f"{number}/{found[0].remote}"]
    return sources, arguments


def _version(value: Any) -> str:
    return python_version(value)


def _below_root(path: str) -> str:
    return os.path.normpath(os.path.join("/root", path)) + ("/" if path.endswith("/") else "")


def _warn_retired(old: str, new: str) -> None:
    import warnings

    warnings.warn(f"Image.{old} is retired; write {new}", DeprecationError, stacklevel=3)
