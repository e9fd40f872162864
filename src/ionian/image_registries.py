"""The ways to begin with an image of a registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .arguments import string_list, text, wrong
from .image_chain import Chain, begin, then
from .image_steps import Step, added_python

if TYPE_CHECKING:
    from .image import Image
    from .secret import Secret


COMMANDS = ("build_args", "env", "gpu", "secrets")
"""What `**kwargs` may be: arguments of `dockerfile_commands`, for `setup_dockerfile_commands`."""


class RegistryImages(Chain):
    """Images that begin with one of a registry."""

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
        """An image of an OCI registry, such as "python:3.12-slim"; functions need a Python 3.10 or newer in it.

        `secret` has the keys REGISTRY_USERNAME and REGISTRY_PASSWORD of a private registry.
        `add_python` puts a Python of that version into an image that has none. `setup_dockerfile_commands` are instructions of a
        Dockerfile that stand on it; other arguments are theirs: `env`, `secrets`, `gpu`, `build_args`.
        """
        return _pulled("registry", tag, secret, setup_dockerfile_commands, force_build, add_python, kwargs)

    @staticmethod
    def from_gcp_artifact_registry(
        tag: str,
        secret: Secret | None = None,
        *,
        setup_dockerfile_commands: Sequence[str] = [],
        force_build: bool = False,
        add_python: str | None = None,
        **kwargs: Any,
    ) -> Image:
        """An image of Google's Artifact Registry; `secret` has the key SERVICE_ACCOUNT_JSON. Otherwise as `from_registry`."""
        if secret is None:
            raise wrong("secret", "a modal.Secret with the key SERVICE_ACCOUNT_JSON", None)
        return _pulled("gcp", tag, secret, setup_dockerfile_commands, force_build, add_python, kwargs)

    @staticmethod
    def from_aws_ecr(
        tag: str,
        secret: Secret | None = None,
        *,
        setup_dockerfile_commands: Sequence[str] = [],
        force_build: bool = False,
        add_python: str | None = None,
        **kwargs: Any,
    ) -> Image:
        """An image of Amazon's ECR; `secret` has the keys AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_REGION.

        Otherwise as `from_registry`.
        """
        if secret is None:
            raise wrong(
                "secret", "a modal.Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", None
            )
        return _pulled("ecr", tag, secret, setup_dockerfile_commands, force_build, add_python, kwargs)

    @staticmethod
    def from_scratch(force_build: bool = False) -> Image:
        """An image with nothing in it, for files to be put on."""
        return begin(lambda: Step("FROM", ("scratch", "")).given(force_build, None, None))


def _pulled(
    kind: str,
    tag: Any,
    secret: Secret | None,
    commands: Sequence[str],
    force_build: bool,
    add_python: str | None,
    more: dict[str, Any],
) -> Image:
    """`more` is for the instructions: their `secrets`, `env`, `gpu` and `build_args`."""
    unknown = more.keys() - COMMANDS
    if unknown:
        raise TypeError(
            f"expected no argument {min(unknown)!r}; besides its own it takes {', '.join(COMMANDS)}"
        )
    image = begin(
        lambda: Step("FROM", (kind, text("tag", tag))).given(
            force_build, None, None if secret is None else [secret]
        )
    )
    if add_python is not None:
        image = then(image, "from_registry", lambda: added_python(add_python))
    if not commands:
        return image
    return image.dockerfile_commands(*string_list("setup_dockerfile_commands", commands), **more)
