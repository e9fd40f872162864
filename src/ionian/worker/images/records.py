"""What is known of an image after each of its instructions; kept as JSON beside the layers."""

from __future__ import annotations

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

import msgspec

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


class ImageError(Exception):
    """An image could not be built. The message names the failing instruction and shows its last lines."""


@dataclass(frozen=True)
class Python:
    """The Python of an image: what `python` (else `python3`) on its PATH leads to."""

    path: str  # the name on the PATH, "/usr/local/bin/python"
    real: str  # what it leads to: a change of it means another Python
    version: str  # "3.11"
    release: str  # "3.11.2"
    tag: str  # "cpython-311", in the names of .pyc files
    purelib: str  # where pip puts pure packages
    platlib: str
    scripts: str
    data: str
    manylinux: str  # "2_36"; "" for musl


@dataclass
class Record:
    """The state of an image after an instruction."""

    key: str
    layers: list[str] = field(default_factory=list[str])  # names below l/, lowest first
    env: dict[str, str] = field(default_factory=dict[str, str])
    workdir: str = ""
    shell: list[str] = field(default_factory=lambda: ["/bin/sh", "-c"])
    entrypoint: list[str] = field(default_factory=list[str])
    cmd: list[str] = field(default_factory=list[str])
    python: Python | None = None
    base: str = ""  # whose Python may fill the shared cache of .pyc files: equal for equal, unchanged bases
    arch: str = ""
    args: dict[str, str] = field(default_factory=dict[str, str])  # ARG of a Dockerfile: seen by its RUN alone
    user: str = ""  # USER of a Dockerfile: who its RUN runs as

    def but(self, **changes: object) -> Record:
        """A copy with other values."""
        return replace(self, **changes)  # pyright: ignore[reportArgumentType]

    def save(self, path: Path) -> None:
        """Writes the record, whole or not at all."""
        write_whole(path, msgspec.json.encode(self))

    @classmethod
    def load(cls, path: Path) -> Record | None:
        """Reads a record; None where there is none."""
        try:
            return msgspec.json.decode(path.read_bytes(), type=cls)
        except (FileNotFoundError, msgspec.MsgspecError):
            return None


def write_whole(path: Path, data: bytes) -> None:
    """Writes a file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_bytes(data)
    draft.replace(path)


@dataclass
class BuiltImage:
    """An image that containers can start from."""

    image_id: str
    layers: list[Path]  # lowest first, ready as lower layers of an overlay
    env: dict[str, str]
    workdir: str
    python: str  # path inside, "" where the image has none
    python_version: str  # "3.11" or ""
    entrypoint: list[str] = field(default_factory=list[str])
    cmd: list[str] = field(default_factory=list[str])
