"""Workers: what server and worker say to each other."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .spec import FunctionSpec, ImageSpec


@dataclass
class Device:
    """A GPU that a worker offers: its CDI name ("nvidia.com/gpu=0"), model and memory."""

    name: str
    model: str
    memory_mib: int = 0


@dataclass
class Capacity:
    """What a worker has to give."""

    cpu_milli: int
    memory_mib: int
    devices: list[Device] = field(default_factory=list[Device])
    ignore_gpu: bool = False  # --no-gpu: a gpu= is dropped, and said


@dataclass
class Held:
    """Inputs of one call that a container has: dispatched and without a confirmed result."""

    call_id: str
    index: list[int]
    attempt: list[int]


@dataclass
class Running:
    """A container that lives on a worker, for its inventory."""

    number: int  # the worker's own number of it: never used twice in a worker's life
    container_id: str
    function_id: str
    app_id: str
    ready: bool
    held: list[Held] = field(default_factory=list[Held])
    version: int = 0  # of the function that it runs
    age_s: float = 0.0
    devices: list[str] = field(default_factory=list[str])
    cpu_milli: int = 0  # reserved for it, as are its memory and its devices
    memory_mib: int = 0
    restricted: bool = False  # as its function was when it was started
    cluster_size: int = 0  # it stands for so many; 0: for itself


@dataclass
class Inventory:
    """A worker's first message after Welcome: what it has. Unconfirmed results follow as batches."""

    worker_id: str
    name: str
    capacity: Capacity
    containers: list[Running] = field(default_factory=list[Running])
    ending: list[Running] = field(
        default_factory=list[Running]
    )  # that end and are no server's any more: what they have is taken until then
    follows: int = (
        0  # how many batches of results do: until they are here, what a container lacks may have ended
    )


@dataclass
class Replay:
    """Makes a container one that runs one input in front of a person, whose terminal is the stream `exec_id`."""

    exec_id: str
    payload: str  # base64 of the input
    debug: bool = True
    shell: bool = False
    rows: int = 24
    columns: int = 80
    input_id: str = ""
    blob: bool = False  # the payload names a blob


@dataclass
class Shell:
    """Makes a container one that runs one program of a person's, whose terminal is the stream `exec_id`."""

    exec_id: str
    argv: list[str]
    pty: bool = False
    rows: int = 24
    columns: int = 80


@dataclass
class StartContainer:
    """Server → worker. `number` was chosen by the server and names the container in batches."""

    number: int
    container_id: str
    app_id: str
    environment: str
    function: FunctionSpec
    secrets: dict[str, str] = field(
        default_factory=dict[str, str], repr=False
    )  # never stored, logged or passed by argv
    devices: list[str] = field(default_factory=list[str])
    functions: dict[str, str] = field(default_factory=dict[str, str])  # tag → id, of the whole app
    replay: Replay | None = None
    build_secrets: dict[str, dict[str, str]] = field(
        default_factory=dict[str, dict[str, str]], repr=False
    )  # secret id → values, of the steps of its image, should the worker lack it
    shell: Shell | None = None
    bucket_secrets: dict[str, dict[str, str]] = field(
        default_factory=dict[str, dict[str, str]], repr=False
    )  # secret id → values, of the buckets that its worker mounts; the container never has them

    @property
    def guest(self) -> Replay | Shell | None:
        """What a person runs in it, where it is theirs and takes no inputs."""
        return self.replay or self.shell


@dataclass
class Prewarm:
    """Server → worker: containers of this function are likely. The worker makes a template of it, if it has its image,
    and the memory and cores that running work does not need."""

    app_id: str
    environment: str
    function: FunctionSpec
    secrets: dict[str, str] = field(default_factory=dict[str, str], repr=False)  # as in StartContainer
    functions: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class DropTemplates:
    """Server → worker: no container of this app's functions will be started any more, but of these."""

    app_id: str
    keep: list[str] = field(default_factory=list[str])  # ids of functions


@dataclass
class CancelInputs:
    """Server → worker: these inputs of a container are not wanted any more.

    Those not claimed are taken back; those that run are interrupted: `InputCancellation` in a sync function by a
    signal, in an async one by cancelling its task. What still runs after `grace_s` seconds is killed with its
    container. Each ends in a result, which nobody may want.
    """

    number: int
    call_id: str
    index: list[int]
    grace_s: float = 30.0


@dataclass
class StopContainer:
    """Server → worker: idle (it ends by itself, within `grace_s` seconds) or not wanted any more (grace 0)."""

    number: int
    grace_s: float = 0.0
    reason: str = ""


@dataclass
class TakeBack:
    """Server → worker: give back what this container has not claimed."""

    number: int


@dataclass
class TakenBack:
    """Worker → server: these were never run; they may be dispatched again as if nothing had been."""

    number: int
    inputs: list[Held] = field(default_factory=list[Held])


@dataclass
class ConfirmResults:
    """Server → worker: the callers have these batches of results; they need not be kept."""

    seqs: list[int]


@dataclass
class Usage:
    """What a container used from its start until now."""

    wall_s: float = 0.0
    cpu_s: float = 0.0
    memory_gib_s: float = 0.0
    gpu_s: float = 0.0


StartKind = Literal["fresh", "template", "restored"]
"""How a container came to be: by itself, or as the fork of a template; "restored" from one that has run @enter(snap=True)."""


@dataclass
class Start:
    """How a container came to be, and the seconds that each part of it took: "image", "template", "sandbox", "imports", "enter"."""

    kind: StartKind = "fresh"
    parts: dict[str, float] = field(default_factory=dict[str, float])
    why_fresh: str = ""
    fallback: str = ""  # what became of the fork that was tried first, where one did not do


@dataclass
class FirstInput:
    """Worker → server: a container got its first input so many seconds after it was ready."""

    number: int
    seconds: float


@dataclass
class Sampled:
    """Worker → server: what containers use just now, a column each. For people to look at: what was used is metered apart."""

    numbers: list[int]
    cores: list[float]  # since the sample before
    memory_bytes: list[int]
    gpu: list[float] = field(
        default_factory=list[float]
    )  # the part of the time in which its cards computed; -1 where that is not known. Empty where no container has a card
    gpu_memory_bytes: list[int] = field(default_factory=list[int])


@dataclass
class ContainerState:
    """Worker → server: a container is ready, or has ended.

    `ended` tells what became of it: "stopped" (as asked), "exit" (user code ended the process), "signal", "memory"
    (over its limit), "timeout" (an input ran too long: `running`), "import" (the user's code did not import: the
    payload is the pickled failure), "startup" (it was not ready in time) or "start" (the container could not be made).
    """

    number: int
    state: Literal["starting", "ready", "ended"]
    ended: str = ""
    detail: str = ""  # a sentence for the user
    running: list[Held] = field(
        default_factory=list[Held]
    )  # claimed, and lost with the container: may have run
    unclaimed: list[Held] = field(default_factory=list[Held])  # taken back: never run
    usage: Usage = field(default_factory=Usage)
    safety: str = ""  # which layers of isolation are active
    soft_memory: bool = False
    seconds: float = 0.0  # from its start until it was ready
    start: Start | None = None  # of one that is ready


@dataclass
class MakeImage:
    """Server → worker: build what is missing of an image. BuildStep messages tell how it goes."""

    image_id: str
    image: ImageSpec
    environment: str = "main"  # whose cache of packages it uses
    secrets: dict[str, dict[str, str]] = field(
        default_factory=dict[str, dict[str, str]], repr=False
    )  # secret id → values
    devices: list[str] = field(default_factory=list[str])  # for its steps that ask for GPUs
    app_id: str = ""  # whose usage it is


@dataclass
class StopImage:
    """Server → worker: nobody waits for this image any more; what is built of it stops."""

    image_id: str


@dataclass
class KeepImages:
    """Server → worker: what runs or is deployed needs these images."""

    image_ids: list[str] = field(default_factory=list[str])


@dataclass
class CollectImages:
    """Server → worker: remove images that nobody needs, those beyond the disk's budget. Answered by ImagesCollected."""

    keep: list[str] = field(default_factory=list[str])
    everything: bool = False  # not only what is beyond the budget
    min_age_s: float = 0.0  # what was used within it stays
    only: list[str] = field(default_factory=list[str])  # these, and nothing else


@dataclass
class ImagesCollected:
    """The answer to CollectImages."""

    images: list[str] = field(default_factory=list[str])
    freed: int = 0  # bytes
    used: int = 0  # that layers still take
    busy: bool = False  # nothing was removed, for an image was being built


@dataclass
class FromContainer:
    """Worker → server: user code asked for something; the payload is its message or batch, one entry."""

    number: int


@dataclass
class ToContainer:
    """Server → worker: the answer; the payload is one entry."""

    number: int


@dataclass
class HoldLogs:
    """Server → worker: who follows an app is behind; what its containers write is not read until it is taken back."""

    app_id: str
    hold: bool


@dataclass
class Leave:
    """Server → worker: end, with all containers. The server of a machine says it to its worker when it is stopped."""
