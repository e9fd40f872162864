"""The methods of an image that install Python packages."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .arguments import string_list, text, wrong
from .exception import InvalidError
from .image_chain import Chain, then
from .image_steps import Step, package_names, pip_options, uv_version_of
from .local_files import LocalFile, requirement_files

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
            made = Step(
                "PIP", (*options, *arguments, *names), tuple(sources), uv_version=uv_version_of(uv_version)
            )
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

    def pip_install_private_repos(
        self,
        *repositories: str,
        git_user: str,
        find_links: str | None = None,
        index_url: str | None = None,
        extra_index_url: str | None = None,
        pre: bool = False,
        extra_options: str = "",
        gpu: Any = None,
        env: Variables | None = None,
        secrets: Secrets | None = None,
        force_build: bool = False,
    ) -> Image:
        """Python packages of private repositories, `"github.com/org/repo@ref"`: cloned as `git_user` with the token that is
        GITHUB_TOKEN, or GITLAB_TOKEN, in one of the secrets. It puts git into the image."""

        def steps() -> list[Step]:
            if not secrets:
                raise InvalidError(
                    "secrets: expected a modal.Secret with GITHUB_TOKEN or GITLAB_TOKEN, got none"
                )
            urls = [_repository(one, text("git_user", git_user)) for one in repositories]
            options = pip_options(find_links, index_url, extra_index_url, pre, extra_options)
            made = Step("PIP", (*options, *urls)).given(force_build, env, secrets, gpu=gpu)
            return [Step("APT", ("git",)), made] if urls else []

        return then(self, "pip_install_private_repos", steps)


TOKENS = {"github.com": "GITHUB_TOKEN", "gitlab.com": "GITLAB_TOKEN"}


def _repository(repository: Any, user: str) -> str:
    host = repository.partition("/")[0] if isinstance(repository, str) else ""
    if host not in TOKENS:
        raise wrong(
            "repositories", f"such as {' or '.join(f'{one}/org/repo@ref' for one in TOKENS)}", repository
        )
    return f"git+https://{user}:${TOKENS[host]}@{repository}"


def _requirements(argument: str, paths: Sequence[Any]) -> tuple[list[LocalFile], list[str]]:
    """The files, each set in a folder of its own, and the arguments that name the first of each."""
    sources: list[LocalFile] = []
    arguments: list[str] = []
    for number, path in enumerate(paths):
        found = requirement_files(argument, path)
        sources += [file._replace(remote=f"{number}/{file.remote}") for file in found]
        arguments += ["--requirement", f"{number}/{found[0].remote}"]
    return sources, arguments
