"""The methods of an image that install Python packages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .arguments import flag, string_list, wrong
from .exception import InvalidError
from .image_chain import Chain, then
from .image_steps import Step, package_names, pip_options
from .local_files import LocalFile, existing_file, existing_folder, requirement_files

if TYPE_CHECKING:
    from .image import Image
    from .image_chain import Secrets, Variables


class PackageSteps(Chain):
    """What installs Python packages."""

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

        def step() -> Step | None:
            names = sorted(package_names("pip_install", packages))
            options = pip_options(find_links, index_url, extra_index_url, pre, extra_options)
            return (
                Step("PIP", (*options, *names)).given(force_build, env, secrets, gpu=gpu) if names else None
            )

        return then(self, "pip_install", step)

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
        """`pip_install` that takes requirements files besides. Both use uv here: `uv_version` is the one that resolves."""

        def step() -> Step | None:
            names = sorted(package_names("uv_pip_install", packages))
            options = pip_options(find_links, index_url, extra_index_url, pre, extra_options)
            paths = string_list("requirements", requirements or [])
            sources, arguments = _requirements("requirements", paths)
            made = Step("PIP", (*options, *arguments, *names), tuple(sources), uv_version=_uv(uv_version))
            return made.given(force_build, env, secrets, gpu=gpu) if names or paths else None

        return then(self, "uv_pip_install", step)

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

        def step() -> Step:
            options = pip_options(find_links, index_url, extra_index_url, pre, extra_options)
            sources, arguments = _requirements("requirements_txt", [requirements_txt])
            return Step("PIP", (*options, *arguments), tuple(sources)).given(
                force_build, env, secrets, gpu=gpu
            )

        return then(self, "pip_install_from_requirements", step)

    def pip_install_from_pyproject(
        self,
        pyproject_toml: str | os.PathLike[str],
        optional_dependencies: Sequence[str] = [],
        *,
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
        """What a project here depends on ([project] of its pyproject.toml), with these of its extras; not the project."""

        def step() -> Step | None:
            from .client.pyproject import dependencies

            path = existing_file("pyproject_toml", pyproject_toml)
            names = dependencies(path, string_list("optional_dependencies", optional_dependencies))
            options = pip_options(find_links, index_url, extra_index_url, pre, extra_options)
            made = Step("PIP", (*options, *names))
            return made.given(force_build, env, secrets, gpu=gpu) if names else None

        return then(self, "pip_install_from_pyproject", step)

    def uv_sync(
        self,
        uv_project_dir: str | os.PathLike[str] = "./",
        *,
        force_build: bool = False,
        groups: Sequence[str] | None = None,
        extras: Sequence[str] | None = None,
        frozen: bool = True,
        extra_options: str = "",
        uv_version: str | None = None,
        env: Variables | None = None,
        secrets: Secrets | None = None,
        gpu: Any = None,
    ) -> Image:
        """What the uv.lock of a project here names, in a virtual environment that is first on the PATH; not the project.

        `frozen=False` brings the lock up to date first, for this image alone; a project without one has it made.
        `extra_options` are options of `uv sync`.
        """

        def step() -> Step:
            from .client.pyproject import check_sync

            folder = existing_folder("uv_project_dir", uv_project_dir)
            files = [LocalFile(existing_file("uv_project_dir", folder / "pyproject.toml"), "pyproject.toml")]
            words = _sync_options(groups, extras, extra_options)
            if (folder / "uv.lock").is_file():
                files.append(LocalFile(folder / "uv.lock", "uv.lock"))
                words = ["--frozen", *words] if flag("frozen", frozen) else words
            elif "--frozen" in words:
                raise InvalidError(f"extra_options: --frozen needs a uv.lock, and {folder} has none")
            check_sync(folder, words)
            made = Step("SYNC", tuple(words), tuple(files), uv_version=_uv(uv_version))
            return made.given(force_build, env, secrets, gpu=gpu)

        return then(self, "uv_sync", step)


def _sync_options(groups: Any, extras: Any, extra_options: Any) -> list[str]:
    """The words of `uv sync`. Raises InvalidError for what an image can't take."""
    from .protocol.uv_words import OptionError, words

    if not isinstance(extra_options, str):
        raise wrong("extra_options", "a string of options", extra_options)
    options = [f"--group={name}" for name in string_list("groups", groups or [])]
    options += [f"--extra={name}" for name in string_list("extras", extras or [])]
    try:
        return [*options, *words(extra_options)]
    except OptionError as error:
        raise InvalidError(f"extra_options: {error}") from None


def _uv(version: Any) -> str:
    """The argument `uv_version`; "" is the worker's own uv."""
    if version is None or version == "latest":
        return ""
    parts = version.split(".") if isinstance(version, str) else []
    if not 1 <= len(parts) <= 3 or not all(part.isascii() and part.isdecimal() for part in parts):
        raise wrong("uv_version", 'a version of uv such as "0.8.4"', version)
    return version


def _requirements(argument: str, paths: Sequence[Any]) -> tuple[list[LocalFile], list[str]]:
    """The files, each set in a folder of its own, and the arguments that name the first of each."""
    sources: list[LocalFile] = []
    arguments: list[str] = []
    for number, path in enumerate(paths):
        found = requirement_files(argument, path)
        sources += [file._replace(remote=f"{number}/{file.remote}") for file in found]
        arguments += ["--requirement", f"{number}/{found[0].remote}"]
    return sources, arguments
