"""A server that keeps all that the steps of an image refer to."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence

from ionian.image_steps import Step
from ionian.local_files import LocalFile
from ionian.protocol.images import ImageInfo
from ionian.protocol.spec import FileRef, ImageSpec
from ionian.secret import Secret
from ionian.volume import Volume


class Kept:
    """What a step is told when it asks for ids."""

    def __init__(self, refer: Callable[[Sequence[LocalFile]], list[FileRef]] | None = None) -> None:
        self._refer = refer

    def references(self, files: Sequence[LocalFile], /) -> list[FileRef]:
        if self._refer is not None:
            return self._refer(files)
        return [FileRef(file.remote, file.local.name, 0) for file in files]

    def content(self, content: bytes, /) -> str:
        return hashlib.sha256(content).hexdigest()

    def image(self, step: Step, /) -> ImageInfo:
        return ImageInfo(step.args[1], "main", image=ImageSpec())

    def secret(self, secret: Secret, /) -> str:
        return ",".join(secret.values)

    def volume(self, volume: Volume, /) -> str:
        return f"vo-{volume.name}"
