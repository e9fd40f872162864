"""Layers of images on their way from one worker to another, packed, by way of the blob store."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class PackedLayer:
    """A layer as one file, which is a blob: a tar archive in OCI's form, compressed by zstd."""

    name: str  # below l/ of the worker that packed it
    digest: str
    size: int  # of the file, in bytes


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
class FoundLayers:
    """The answer to FindLayers and GiveLayers: the layers, lowest first. The payload is what is known of the image, as
    workers keep it."""

    found: bool = False
    layers: list[PackedLayer] = field(default_factory=list[PackedLayer])
