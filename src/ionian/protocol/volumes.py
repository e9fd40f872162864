"""The files of volumes: what whoever is not in a container that mounts one asks about them.

Paths are relative to the volume: "models/a.bin"; "" is the volume itself. What they refer to is found on the server's disk, and
never outside of the volume's folder.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

FileType = Literal["file", "directory", "symlink", "fifo", "socket", "other"]

INLINE_MAX = 64 << 10
"""Bytes of a file that travels in PutFiles itself; a larger one is a blob that was sent before."""

AT_ONCE = 500
"""Files of one PutFiles, and entries of one FileList."""


@dataclass
class ListFiles:
    """Asks what a folder holds, by name, those after `after`; of a file, for itself. Answered by FileList."""

    volume_id: str
    path: str = ""
    after: str = ""


@dataclass
class VolumeFile:
    """A file, folder or link. `mtime` in seconds since 1970."""

    path: str
    type: FileType
    mtime: float
    size: int


@dataclass
class FileList:
    """The answer to ListFiles."""

    files: list[VolumeFile] = field(default_factory=list[VolumeFile])
    more: bool = False


@dataclass
class ReadFile:
    """Asks for a part of a file. Answered by FilePart with its bytes behind it."""

    volume_id: str
    path: str
    offset: int = 0
    length: int = 1 << 20


@dataclass
class FilePart:
    """A part of a file. `identity` is another one where another file has taken its name since."""

    size: int
    identity: str


@dataclass
class NewFile:
    """A file to be written: a blob, or the next `size` bytes of the payload where there is no digest."""

    path: str
    size: int
    digest: str = ""
    mode: int = 0o644


@dataclass
class PutFiles:
    """Writes files, each at once: whoever reads sees the old one or the new one. One that is there is refused unless
    `force`."""

    volume_id: str
    files: list[NewFile] = field(default_factory=list[NewFile])
    force: bool = False


OFFERS_SOCKET = "files.sock"
"""The socket on which files are offered, beside that of the server's streams."""

KEY_BYTES = 32
"""Characters of the key under which a file is offered: as hard to guess as a token."""


@dataclass
class CopyOffered:
    """Copies a file of this machine that its client has offered by descriptor, under a key, into a draft: the part from `offset` on.
    Answered by Copied."""

    volume_id: str
    path: str
    key: str
    offset: int = 0


@dataclass
class Copied:
    """The answer to CopyOffered: the draft has the first `offset` bytes of `size`."""

    known: bool  # False: to this start of the server nothing was offered under that key
    offset: int = 0
    size: int = 0


@dataclass
class OfferedFile:
    """A file to be written: what was copied under this key."""

    path: str
    key: str
    mode: int = 0o644


@dataclass
class PlaceFiles:
    """PutFiles for what was copied by CopyOffered. Answered by Placed."""

    volume_id: str
    files: list[OfferedFile] = field(default_factory=list[OfferedFile])
    force: bool = False


@dataclass
class Placed:
    """The answer to PlaceFiles: the keys of which there is no complete copy; where there are any, nothing was placed."""

    missing: list[str] = field(default_factory=list[str])


@dataclass
class FindExisting:
    """Asks which of these paths are taken. Answered by ExistingFiles."""

    volume_id: str
    paths: list[str]


@dataclass
class ExistingFiles:
    """The answer to FindExisting."""

    paths: list[str] = field(default_factory=list[str])


@dataclass
class FindVolumeUsers:
    """Asks which apps mount a volume. Answered by VolumeUsers."""

    volume_id: str


@dataclass
class VolumeUsers:
    """The answer to FindVolumeUsers: the names of apps that are deployed or run."""

    apps: list[str] = field(default_factory=list[str])


@dataclass
class RemoveFile:
    """Removes a file, or with `recursive` a folder with all that is in it."""

    volume_id: str
    path: str
    recursive: bool = False


@dataclass
class CopyFiles:
    """Copies within a volume, as `cp` does: into `destination` where it is a folder."""

    volume_id: str
    sources: list[str]
    destination: str
    recursive: bool = False


# --- volumes over several machines: a version is a manifest (machine/manifest.py), which is a blob


@dataclass
class CommitMounted:
    """Container → its worker: what was written to a volume that it mounts becomes a version. Answered by Done."""

    volume_id: str


@dataclass
class ReloadMounted:
    """Container → its worker: takes up the newest version of a volume that it mounts. Answered by Done."""

    volume_id: str


@dataclass
class FindVersion:
    """Worker → server: asks for the newest version of a volume. Answered by VolumeVersion."""

    volume_id: str


@dataclass
class CommitChanges:
    """Worker → server: changes to an older version, in a blob, go into the newest one. Answered by VolumeVersion.

    It may be sent again under its id: what another committed in between stays, and the answer is that of the first time.
    """

    volume_id: str
    changes: str  # the blob's digest
    container_id: str = ""  # who asked for it; "": nobody, its worker commits by itself
    commit_id: str = ""
    answered: str = ""  # the id of an earlier commit whose answer was had: it is not sent again


@dataclass
class VolumeVersion:
    """The newest version of a volume: the digest of its manifest."""

    version: str
