"""Apps: what a client asks of the server to define and run them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .spec import FunctionSpec, ImageSpec, Resources

AppState = Literal["initializing", "ephemeral", "detached", "stopped"]


@dataclass
class CreateApp:
    """Makes an ephemeral app under an id that the client chose; repeating it is harmless."""

    app_id: str
    name: str
    environment: str = ""
    detach: bool = False


@dataclass
class AppCreated:
    """The answer to CreateApp."""

    app_id: str
    environment: str


@dataclass
class StopApp:
    """Ends an app. Of a detached one only the session ends."""

    app_id: str
    reason: str = ""


@dataclass
class PublishApp:
    """The functions of an app, all at once: from here on they can be called."""

    app_id: str
    functions: list[FunctionSpec] = field(default_factory=list[FunctionSpec])


@dataclass
class CheckResources:
    """Asks, before anything is built for them, whether workers could ever hold containers of these functions.

    Refused with the reason where one could be held by none, for its GPU most of all.
    """

    app_id: str
    functions: dict[str, Resources] = field(default_factory=dict[str, Resources])  # by tag


@dataclass
class ResourcesChecked:
    """The answer to CheckResources."""

    functions: dict[str, Resources] = field(
        default_factory=dict[str, Resources]
    )  # what each can have, by tag
    without_gpu: list[str] = field(
        default_factory=list[str]
    )  # what workers with --no-gpu will run on the CPU


@dataclass
class BuildImage:
    """Asks for an image to be there; answered when it is. Its steps arrive as BuildStep meanwhile."""

    app_id: str
    image_id: str
    image: ImageSpec


@dataclass
class ImageBuilt:
    """The answer to BuildImage."""

    image_id: str
    python: str  # "3.11", or "" where the image has no Python
    seconds: float = 0.0
    cached: bool = False


@dataclass
class BuildStep:
    """News of a build, worker → server → clients that wait for it."""

    image_id: str
    step: int  # from 1
    steps: int
    text: (
        str  # the instruction, for "start", "cached" and "done"; output, for "log"; the reason, for "source"
    )
    state: Literal["start", "cached", "done", "log", "source"]
    seconds: float = 0.0


@dataclass
class FindVolume:
    """Asks for a volume by name."""

    name: str
    environment: str = ""
    create: bool = False


@dataclass
class FoundVolume:
    """The answer to FindVolume."""

    volume_id: str


@dataclass
class PutSecret:
    """Keeps a secret of an app. Equal content has an equal id, so images and templates stay valid."""

    app_id: str
    values: dict[str, str] = field(repr=False)


@dataclass
class SecretKept:
    """The answer to PutSecret."""

    secret_id: str


@dataclass
class FollowApp:
    """Asks for the logs and container news of an app from now on."""

    app_id: str


@dataclass
class Log:
    """What a container wrote (the payload: raw bytes, cut anywhere). fd: 1 stdout, 2 stderr, 3 Ionian itself."""

    app_id: str
    function: str  # its tag
    container_id: str
    fd: int


@dataclass
class ContainerNews:
    """A container of a followed app changed its state."""

    app_id: str
    function: str
    container_id: str
    state: Literal["starting", "ready", "gone", "failed"]
    detail: str = ""


@dataclass
class AppUsage:
    """The answer to StopApp: what the app used, from the start of each container to its end."""

    app_id: str
    container_seconds: float = 0.0
    cpu_seconds: float = 0.0
    memory_gib_seconds: float = 0.0
    gpu_seconds: float = 0.0
    containers: int = 0
