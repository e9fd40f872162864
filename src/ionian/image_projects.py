"""The methods of an image that install what projects here depend on: pyproject.toml, uv.lock, poetry.lock."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .arguments import flag, string_list, text, wrong
from .exception import InvalidError, NotFoundError
from .image_chain import Chain, then
from .image_steps import Step, pip_options, uv_version_of
from .local_files import LocalFile, existing_file, existing_folder

if TYPE_CHECKING:
    from pathlib import Path

    from .image import Image
    from .image_chain import Secrets, Variables


class ProjectSteps(Chain):
    """What installs the dependencies of projects."""

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

    def poetry_install_from_file(
        self,
        poetry_pyproject_toml: str | os.PathLike[str],
        poetry_lockfile: str | os.PathLike[str] | None = None,
        *,
        ignore_lockfile: bool = False,
        force_build: bool = False,
        with_: Sequence[str] = [],
        without: Sequence[str] = [],
        only: Sequence[str] = [],
        poetry_version: str | None = "latest",
        old_installer: bool = False,
        env: Variables | None = None,
        secrets: Secrets | None = None,
        gpu: Any = None,
    ) -> Image:
        """What a project of Poetry here depends on, as its poetry.lock (beside it) says; not the project. Poetry is installed in
        the image, unless `poetry_version` is None: then it is there already."""

        def steps() -> list[Step]:
            import shlex

            project = existing_file("poetry_pyproject_toml", poetry_pyproject_toml)
            files = [LocalFile(project, "pyproject.toml")]
            if not flag("ignore_lockfile", ignore_lockfile):
                files.append(LocalFile(_poetry_lock(project, poetry_lockfile), "poetry.lock"))
            choice: list[str] = []
            for name, groups in (("with", with_), ("without", without), ("only", only)):
                names = string_list(name, groups)
                choice += [f"--{name}", shlex.quote(",".join(names))] if names else []
            command = " ".join((f"cd {POETRY} && poetry install --no-root --compile", *choice))
            ran = Step("RUN", (command,)).given(force_build, env, secrets, gpu=gpu)
            settings = {**POETRY_ENV, **OLD_INSTALLER} if flag("old_installer", old_installer) else POETRY_ENV
            ran = ran._replace(env=(*settings.items(), *ran.env))
            return [*_poetry(poetry_version, force_build), Step("COPY", (POETRY,), tuple(files)), ran]

        return then(self, "poetry_install_from_file", steps)

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
            made = Step("SYNC", tuple(words), tuple(files), uv_version=uv_version_of(uv_version))
            return made.given(force_build, env, secrets, gpu=gpu)

        return then(self, "uv_sync", step)


POETRY = "/.poetry"
"""Where a project of Poetry lies in an image."""

POETRY_ENV = {
    "POETRY_VIRTUALENVS_CREATE": "false",
    "POETRY_CACHE_DIR": "/tmp/poetry",  # no part of the layer
    "POETRY_NO_INTERACTION": "1",
}
OLD_INSTALLER = {"POETRY_EXPERIMENTAL_NEW_INSTALLER": "false"}


def _poetry(version: Any, force_build: bool) -> list[Step]:
    if version is None:
        return []
    wanted = text("poetry_version", version)
    name = "poetry" if wanted == "latest" else f"poetry=={wanted}"
    return [Step("PIP", (name,), force=flag("force_build", force_build))]


def _poetry_lock(project: Path, given: Any) -> Path:
    if given is not None:
        return existing_file("poetry_lockfile", given)
    beside = project.with_name("poetry.lock")
    if not beside.is_file():
        raise NotFoundError(
            f"poetry_lockfile: there is no {beside}; name another, or write ignore_lockfile=True to do without"
        )
    return beside


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
