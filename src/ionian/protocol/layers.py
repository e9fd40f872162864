"""Layers of images on their way from one worker to another, packed, by way of the blob store."""

from __future__ import annotations

from dataclasses import dataclass, field

PACKING = "oci-tar+zstd"
"""How layers are packed: a tar archive in OCI's form, compressed by zstd."""


@dataclass
class PackedLayer:
    """A layer as one file, which is a blob."""

    name: str  # below l/ of the worker that packed it
    digest: str
    size: int  # of the file, in bytes
    packing: str = PACKING


@dataclass
class FindLayers:
    """Worker → server: has another worker what this stands for? An image's id, the key of a step's result, or a base's pin.
    Answered by FoundLayers, once the layers are blobs."""

    name: str
    arch: str
    damaged: list[str] = field(default_factory=list[str])  # digests of blobs that were not what they say


@dataclass
class GiveLayers:
    """Server → worker: have you this? Answered by FoundLayers; with `pack` once its layers are blobs."""

    name: str
    arch: str
    pack: bool = False


@dataclass
class Below:
    """What else a worker knows by a name that has the lowest so many of some layers: a step below, a base, an image."""

    name: str
    layers: int
    known: str  # as workers keep it


@dataclass
class FoundLayers:
    """The answer to FindLayers and GiveLayers: the layers, lowest first. The payload is what is known of the image, as
    workers keep it."""

    found: bool = False
    layers: list[PackedLayer] = field(default_factory=list[PackedLayer])
    below: list[Below] = field(default_factory=list[Below])  # for the server, which keeps it with the layers
