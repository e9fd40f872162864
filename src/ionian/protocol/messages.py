"""What any two peers say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field

PROTOCOL = 2
"""Peers of another protocol number are refused with a sentence that names both versions."""


@dataclass
class Failure:
    """The answer to a request that was refused. `type` is the name of a class of ionian.exception."""

    type: str
    message: str


@dataclass
class Done:
    """The answer to a request that has nothing to say."""


@dataclass
class Hello:
    """The first message on a stream."""

    role: str  # "client", "worker" or "blobs" (a client's or worker's second stream, for bulk data)
    token: str = field(repr=False)
    version: str
    peer_id: str  # "cl-…" or "wo-…": the same on every connection of one process
    protocol: int = PROTOCOL


@dataclass
class Welcome:
    """The answer to Hello."""

    epoch: int  # grows with each start of the server
    version: str
    environment: str = "main"
    blob_folder: str = ""  # where blobs lie, for a peer that sees the same disk
    machine: str = ""  # an id of the machine and user whose disk that is
    volume_folder: str = ""  # where volumes lie, likewise
    volume_mark: str = ""  # what is written there, by which a peer that sees it elsewhere knows it


@dataclass
class Blob:
    """Content on its way; the payload holds `[offset : offset + len(payload)]` of `size` bytes.

    As a request it writes (chunks of 1 MiB, in order; the last one is answered when the blob is synced); as an
    answer to ReadBlob it is read.
    """

    digest: str
    size: int
    offset: int = 0


@dataclass
class ReadBlob:
    """Asks for a part of a blob."""

    digest: str
    offset: int = 0
    length: int = 1 << 20


@dataclass
class FindBlobs:
    """Asks which of these the store lacks."""

    digests: list[str]


@dataclass
class MissingBlobs:
    """The answer to FindBlobs."""

    digests: list[str] = field(default_factory=list[str])
