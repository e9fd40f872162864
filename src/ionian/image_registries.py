"""The ways to begin with an image of a registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import later
from .arguments import string_list, text, wrong
from .image_chain import Chain, begin
from .image_steps import Step

if TYPE_CHECKING:
    from .image import Image
    from .secret import Secret


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
        `setup_dockerfile_commands` are instructions of a Dockerfile that stand on it.
        """
        later.refuse("Image.from_registry", add_python=add_python, kwargs=kwargs)
        return _pulled("registry", tag, secret, setup_dockerfile_commands, force_build)

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
        later.refuse("Image.from_gcp_artifact_registry", add_python=add_python, kwargs=kwargs)
        if secret is None:
            raise wrong("secret", "a modal.Secret with the key SERVICE_ACCOUNT_JSON", None)
        return _pulled("gcp", tag, secret, setup_dockerfile_commands, force_build)

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
        later.refuse("Image.from_aws_ecr", add_python=add_python, kwargs=kwargs)
        if secret is None:
            raise wrong(
                "secret", "a modal.Secret with the keys AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY", None
            )
        return _pulled("ecr", tag, secret, setup_dockerfile_commands, force_build)

    @staticmethod
    def from_scratch(force_build: bool = False) -> Image:
        """An image with nothing in it, for files to be put on."""
        return begin(lambda: Step("FROM", ("scratch", "")).given(force_build, None, None))


def _pulled(kind: str, tag: Any, secret: Secret | None, commands: Sequence[str], force_build: bool) -> Image:
    image = begin(
        lambda: Step("FROM", (kind, text("tag", tag))).given(
            force_build, None, None if secret is None else [secret]
        )
    )
    return (
        image.dockerfile_commands(*string_list("setup_dockerfile_commands", commands)) if commands else image
    )
