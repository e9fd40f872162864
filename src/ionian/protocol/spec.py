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


@dataclass
class Heredoc:
    """A text that an instruction of a Dockerfile brings with it (`<<EOF`)."""

    name: str
    text: str
    expand: bool = True  # its name was not quoted


@dataclass
class DockerLine:
    """What an instruction of a Dockerfile has besides its words. Variables in the words are still to be replaced."""

    line: int  # counted from 1
    text: str  # its first line as written
    flags: dict[str, str] = field(default_factory=dict[str, str])  # --chown=…; "from": "stage 0" or a name
    mounts: list[dict[str, str]] = field(default_factory=list[dict[str, str]])  # of RUN
    exec_form: bool = False  # the words are a program and its arguments, no line for a shell
    heredocs: list[Heredoc] = field(default_factory=list[Heredoc])


Op = Literal[
    "FROM",
    "RUN",
    "COPY",
    "ENV",
    "WORKDIR",
    "ENTRYPOINT",
    "CMD",
    "SHELL",
    "PIP",
    "CONDA",
    "APT",
    "ADD",
    "ARG",
    "USER",
    "CALL",
    "SYNC",
    "PYTHON",
]


@dataclass
class Instruction:
    """One step of an image. Dockerfile words, and five of ours: PIP (arguments of `uv pip install`), SYNC (arguments of
    `uv sync`), APT (packages), PYTHON (a version, "3.12") and CALL (a Python function).

    FROM: args = [source, name]: ["debian_slim", "3.11"], ["registry", "python:3.12-slim"] (or "gcp", "ecr"), ["scratch", ""], or
    ["stage", "0"]: what an earlier FROM of the same image began. With several the image is what the last one began.
    ["image", "im-…"]: an image that was built before; `image` says how, for a worker that lacks it.
    RUN: one shell command. COPY: args = [destination]; `files` lie below it. ENV: args = [key, value, key, value…].
    PIP: `files` are what its arguments name (requirements files), relative to the folder it runs in.
    SYNC: `files` are the project's pyproject.toml and, where it has one, uv.lock.
    CALL: args = [module, name in it, key]; of `files` those with absolute paths are source, which is there while it runs and
    decides nothing, and "call.pickle" is its arguments. "function.pickle" is the function itself, where it goes by value.
    """

    op: Op
    args: list[str] = field(default_factory=list[str])
    files: list[FileRef] = field(default_factory=list[FileRef])
    secret_ids: list[str] = field(default_factory=list[str])
    env: dict[str, str] = field(default_factory=dict[str, str])  # seen by this step alone
    force: bool = False  # build it anew, and all that stands on it
    docker: DockerLine | None = None  # of a Dockerfile's instruction; ADD, ARG and USER always have it
    volumes: list[VolumeMount] = field(default_factory=lambda: list[VolumeMount]())  # there while it runs
    resources: Resources | None = None  # what it asks for, where that is more than a build has anyway
    timeout_s: float = 0.0  # 0: as long as it takes
    uv_version: str = ""  # of PIP and SYNC: the uv that resolves; "": the worker's own
    image: ImageSpec | None = None  # of FROM image


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
class BucketMount:
    """A bucket of an S3-compatible store at an absolute path of the container."""

    path: str
    bucket: str
    endpoint_url: str = ""  # "": Amazon's
    prefix: str = ""
    secret_id: str = ""  # "": it is public
    read_only: bool = False
    requester_pays: bool = False
    path_style: bool = False


@dataclass
class VolumeMount:
    """A volume, or a folder of it, at an absolute path of the container."""

    path: str
    volume_id: str
    read_only: bool = False
    sub_path: str = ""
    isolated: bool = False  # each container has a copy of its own; said by the server


@dataclass
class RetryPolicy:
    """How often an input that failed is tried again, and how long after. Delays in seconds."""

    max_retries: int
    backoff_coefficient: float = 1.0
    initial_delay_s: float = 1.0
    max_delay_s: float = 60.0


@dataclass
class WebSpec:
    """What makes a function, or a method, one that answers web requests."""

    kind: Literal["fastapi", "asgi", "wsgi", "server"]
    method: str = "GET"  # of "fastapi"
    docs: bool = False  # of "fastapi": with /docs
    label: str = ""  # its name in addresses; "": made of the app's and its own
    requires_proxy_auth: bool = False
    port: int = 0  # of "server": where it listens inside its container
    startup_timeout_s: float = 5.0  # of "server": for so long it may take until it listens
    domains: list[str] = field(default_factory=list[str])  # hosts of the user's own that lead to it, too


@dataclass
class MethodSpec:
    """A method of a class that can be called."""

    name: str
    is_generator: bool = False
    web: WebSpec | None = None


@dataclass
class ParameterSpec:
    """A parameter of a class: what `Cls.from_name(…)(…)` checks before anything is sent."""

    name: str
    type: str  # "str", "int", "bool", "bytes", or "" for a value that is pickled (a class with an __init__ of its own)
    has_default: bool = False


@dataclass
class ClassSpec:
    """What makes a FunctionSpec one of a class: one pool of containers runs all its methods.

    An input of a class is the pickled (args, kwargs, method name); of a function it is (args, kwargs).
    """

    methods: list[MethodSpec] = field(default_factory=list[MethodSpec])
    parameters: list[ParameterSpec] = field(default_factory=list[ParameterSpec])
    arguments: str = ""  # base64 of the pickled (args, kwargs) of the constructor; "": none were given
    has_exit: bool = False  # something runs at the end of its containers


@dataclass
class Concurrency:
    """How many inputs one container runs at once."""

    max_inputs: int = 1
    target_inputs: int = 0  # what the autoscaler aims at; 0: max_inputs


@dataclass
class Batching:
    """A function that takes lists: up to `max_batch_size` inputs, the first of which waits `wait_ms` for others."""

    max_batch_size: int
    wait_ms: int


@dataclass
class Schedule:
    """When a deployed function runs by itself: `cron` (five fields) in `timezone`, or a period by the calendar."""

    cron: str = ""
    timezone: str = "UTC"
    years: int = 0
    months: int = 0
    weeks: int = 0
    days: int = 0
    hours: int = 0
    minutes: int = 0
    seconds: float = 0.0


@dataclass
class Overrides:
    """What a variant of a function has otherwise (`with_options`, parameters of a class); None: as the function.

    Two equal variants are one: `variant_id` follows from the function's id and this.
    """

    arguments: str | None = None  # see ClassSpec
    resources: Resources | None = None
    scaling: Scaling | None = None
    retries: RetryPolicy | None = None
    timeout_s: float | None = None
    env: dict[str, str] | None = None  # added to the function's
    secret_ids: list[str] | None = None
    volumes: list[VolumeMount] | None = None
    concurrency: Concurrency | None = None
    batching: Batching | None = None
    version: int | None = None  # of the deployed app: the function as it was in that one


@dataclass
class FunctionSpec:
    """A function as its containers need it. A class is one, too (`class_spec`): its methods share containers."""

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
    buckets: list[BucketMount] = field(default_factory=list[BucketMount])
    single_use: bool = False
    block_network: bool = False  # its containers have loopback alone
    cluster_size: int = (
        0  # @clustered: as many containers get each input together, and reach each other; 0: it is none
    )
    rdma: bool = False  # as it was asked for: members are on one machine
    fabric_size: int = 0
    restricted: bool = False  # restrict_modal_access: its containers may ask the server for nothing
    python: str = ""  # the client's Python, "3.11": said where the image's differs
    cloudpickle: str = ""
    retries: RetryPolicy | None = None
    class_spec: ClassSpec | None = None
    concurrency: Concurrency = field(default_factory=Concurrency)
    batching: Batching | None = None
    schedule: Schedule | None = None
    snapshot: bool = False  # enable_memory_snapshot
    web: WebSpec | None = None  # of a function; a class has it in its methods
    base_id: str = ""  # of a variant: the function that it varies
    version: int = 0  # of the deployed app that it belongs to; set by the server
    pinned: bool = False  # its calls of its app's functions stay in its version; set by the server
    recreate: bool = (
        False  # that version's deploy stops containers of earlier ones at once; set by the server
    )

    @property
    def bucket_secret_ids(self) -> list[str]:
        """The secrets with which its buckets are reached."""
        return [bucket.secret_id for bucket in self.buckets if bucket.secret_id]
