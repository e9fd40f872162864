"""What a person defined, as data: images, functions, resources. Sent by clients, stored by the server, used by workers."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class FileRef:
    """One file of an image step or a mount; its content is the blob `digest` (SHA-256, hex)."""

    path: str  # absolute in the container for mounts; relative to the step's context in a COPY
    digest: str
    size: int
    mode: int = 0o644


Op = Literal["FROM", "RUN", "COPY", "ENV", "WORKDIR", "ENTRYPOINT", "CMD", "SHELL", "PIP", "APT"]


@dataclass
class Instruction:
    """One step of an image. Dockerfile words, and two of ours: PIP (arguments of `uv pip install`) and APT (packages).

    FROM: args = [source, name]: ["debian_slim", "3.11"], ["registry", "python:3.12-slim"] or ["scratch", ""].
    RUN: one shell command. COPY: args = [destination]; `files` lie below it. ENV: args = [key, value, key, value…].
    PIP: `files` are what its arguments name (requirements files), relative to the folder it runs in.
    """

    op: Op
    args: list[str] = field(default_factory=list[str])
    files: list[FileRef] = field(default_factory=list[FileRef])
    secret_ids: list[str] = field(default_factory=list[str])
    env: dict[str, str] = field(default_factory=dict[str, str])  # seen by this step alone
    force: bool = False  # build it anew, and all that stands on it


@dataclass
class ImageSpec:
    """An image: its steps in order. Equal specs are one image."""

    instructions: list[Instruction] = field(default_factory=list[Instruction])


@dataclass
class GpuRequest:
    """One acceptable kind of GPU: model ("A100-80GB", upper case; "ANY") and how many."""

    model: str
    count: int = 1
    exact: bool = False  # "H100!": no upgrade


@dataclass
class Resources:
    """What one container asks for. A limit of 0 means none."""

    cpu_milli: int = 125
    cpu_limit_milli: int = 0
    memory_mib: int = 128
    memory_limit_mib: int = 0
    ephemeral_disk_mib: int = 0  # 0: what the worker's disk holds
    gpus: list[GpuRequest] = field(default_factory=list[GpuRequest])  # alternatives, best first


@dataclass
class Scaling:
    """How many containers a function has."""

    min_containers: int = 0
    max_containers: int = 0  # 0: what the workers hold
    buffer_containers: int = 0
    scaledown_window_s: float = 60.0


@dataclass
class VolumeMount:
    """A volume at an absolute path of the container."""

    path: str
    volume_id: str
    read_only: bool = False


@dataclass
class FunctionSpec:
    """A function as its containers need it."""

    function_id: str
    tag: str  # the name in its app
    module: str
    qualname: str
    definition: Literal["file", "package", "serialized"] = "file"
    serialized: str = ""  # digest of the pickled function
    is_generator: bool = False
    image_id: str = ""
    image: ImageSpec = field(default_factory=ImageSpec)
    mounts: list[FileRef] = field(default_factory=list[FileRef])
    resources: Resources = field(default_factory=Resources)
    scaling: Scaling = field(default_factory=Scaling)
    timeout_s: float = 300.0
    startup_timeout_s: float = 300.0
    env: dict[str, str] = field(default_factory=dict[str, str])
    secret_ids: list[str] = field(default_factory=list[str])  # a later one wins
    volumes: list[VolumeMount] = field(default_factory=list[VolumeMount])
    single_use: bool = False
    python: str = ""  # the client's Python, "3.11": said where the image's differs
    cloudpickle: str = ""
    block_network: bool = False
