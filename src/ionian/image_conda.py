"""The methods of an image that install packages of conda."""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING, Any

from .arguments import string_list, wrong
from .exception import InvalidError
from .execution import is_local
from .image_chain import Chain, made, then
from .image_steps import Step, package_names, python_version

if TYPE_CHECKING:
    from .image import Image
    from .image_chain import Secrets, Variables

DEFAULT_CHANNEL = "conda-forge"
BENEATH = ("debian_slim", "3.11")
"""What an environment of conda stands on, whichever Python is in it: Debian 12, which every worker can make."""

CHANNEL = re.compile(r"https?://\S+|[A-Za-z0-9_$][A-Za-z0-9_.$/-]*")


class CondaSteps(Chain):
    """What installs packages of conda."""

    @staticmethod
    def micromamba(python_version: str | None = None, force_build: bool = False) -> Image:
        """Debian with an environment of conda at /opt/conda, of that Python, pip and micromamba from the channel conda-forge.

        None: the version of Python that runs here.
        """
        if not is_local():
            return made((), ())
        base = Step("FROM", BENEATH).given(force_build, None, None)
        specs = (f"python={_version(python_version)}", "pip", "micromamba")
        return made((base, Step("CONDA", (*_channels([]), *specs))), ())

    def micromamba_install(
        self,
        *packages: str | list[str],
        spec_file: str | os.PathLike[str] | None = None,
        channels: list[str] = [],  # noqa: B006  (Modal's default, never changed)
        force_build: bool = False,
        env: Variables | None = None,
        secrets: Secrets | None = None,
        gpu: Any = None,
    ) -> Image:
        """Packages of conda, such as "numpy" or "pandas>=2", into the environment at /opt/conda: from these channels, then from conda-forge.

        `spec_file` is a file here: an environment.yml, or a package a line. `$NAME` in a channel's URL is a key of the secrets.
        """

        def steps() -> list[Step]:
            names = package_names("micromamba_install", packages)
            wanted, pips = string_list("channels", channels), list[str]()
            if spec_file is not None:
                from .client.conda import read

                read_names, read_channels, pips = read(spec_file)
                names, wanted = [*read_names, *names], [*wanted, *read_channels]
            if not names and not pips:
                return []
            step = Step("CONDA", (*_channels(wanted), *names)).given(force_build, env, secrets, gpu=gpu)
            more = [Step("PIP", tuple(pips)).given(force_build, env, secrets, gpu=gpu)] if pips else []
            return [step, *more] if names else more

        return then(self, "micromamba_install", steps)


def _version(value: Any) -> str:
    return python_version(value)


def _channels(names: list[str]) -> list[str]:
    """The options of a step for channels, the first before others."""
    options: list[str] = []
    for name in dict.fromkeys([*names, DEFAULT_CHANNEL]):
        if name == "defaults":
            raise InvalidError(
                "channels: expected a channel by its name or URL, and 'defaults' are several: name them"
            )
        if not CHANNEL.fullmatch(name):
            raise wrong("channels", 'names of channels such as "bioconda", or their URLs', name)
        options += ["--channel", name]
    return options
