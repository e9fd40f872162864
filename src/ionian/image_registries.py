"""The ways to begin with an image of a registry."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from . import later
from .arguments import text
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
        """An image of an OCI registry, such as "python:3.12-slim"; functions need a Python 3.10 or newer in it."""
        later.refuse(
            "Image.from_registry",
            secret=secret,
            setup_dockerfile_commands=setup_dockerfile_commands,
            add_python=add_python,
            kwargs=kwargs,
        )
        return begin(lambda: Step("FROM", ("registry", text("tag", tag))).given(force_build, None, None))
