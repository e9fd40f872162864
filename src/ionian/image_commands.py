"""The methods of an image that run commands or change what commands and containers find."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from .arguments import string_list, strings, text, variables, wrong
from .image_chain import Chain, then
from .image_steps import Step, package_names

if TYPE_CHECKING:
    from .image import Image
    from .image_chain import Secrets, Variables


class CommandSteps(Chain):
    """What runs commands, and the settings of commands and containers."""

    def apt_install(
        self,
        *packages: str | Sequence[str],
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Secrets | None = None,
        gpu: Any = None,
    ) -> Image:
        """Debian packages."""

        def step() -> Step | None:
            names = package_names("apt_install", packages)
            return Step("APT", tuple(names)).given(force_build, env, secrets, gpu=gpu) if names else None

        return then(self, "apt_install", step)

    def run_commands(
        self,
        *commands: str | Sequence[str],
        env: Variables | None = None,
        secrets: Secrets | None = None,
        volumes: Mapping[str, Any] | None = None,
        gpu: Any = None,
        force_build: bool = False,
    ) -> Image:
        """Shell commands, each a step of its own. `env`, `secrets`, `volumes` and `gpu` are there while they run, and not
        after.
        """

        def steps() -> list[Step]:
            lines = strings("run_commands", commands)
            return [
                Step("RUN", (text("run_commands", line),)).given(
                    force_build, env, secrets, gpu=gpu, volumes=volumes
                )
                for line in lines
            ]

        return then(self, "run_commands", steps)

    def env(self, vars: dict[str, str]) -> Image:
        """Environment variables of the steps that follow and of the containers."""

        def step() -> Step | None:
            pairs = variables("env", vars)
            if len(pairs) != len(vars):
                raise wrong("env", "a string for each variable", None)
            return Step("ENV", tuple(word for pair in pairs.items() for word in pair)) if pairs else None

        return then(self, "env", step)

    def workdir(self, path: str | os.PathLike[str]) -> Image:
        """The working folder of the steps that follow and of the containers."""
        return then(self, "workdir", lambda: Step("WORKDIR", (text("path", os.fspath(path)),)))

    def entrypoint(self, entrypoint_commands: list[str]) -> Image:
        """A program that containers of this image are started by, which must end with `exec "$@"`."""
        return then(
            self,
            "entrypoint",
            lambda: Step("ENTRYPOINT", tuple(string_list("entrypoint", entrypoint_commands))),
        )

    def shell(self, shell_commands: list[str]) -> Image:
        """The shell of the `run_commands` that follow: `["/bin/bash", "-c"]`."""
        return then(self, "shell", lambda: Step("SHELL", tuple(string_list("shell", shell_commands))))

    def cmd(self, cmd: list[str]) -> Image:
        """What a sandbox of this image runs unless told otherwise."""
        return then(self, "cmd", lambda: Step("CMD", tuple(string_list("cmd", cmd))))
