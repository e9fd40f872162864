"""Containers: what a worker tells the agent inside at its start, and hears from it."""

from __future__ import annotations

from typing import Any

from .record import field, record


@record
class Begin:
    """Worker → agent, its first message ("go"): who it is and what it runs. Secrets come here, never by argv.

    A template is told the same, but for what is one container's own (its id, what its environment says of it)."""

    container_id: str  # "" in a template
    function_id: str
    app_id: str
    module: str
    qualname: str
    definition: str
    serialized: str = ""  # a path inside the container
    is_generator: bool = False
    environment: str = "main"
    env: dict[str, str] = field(
        default_factory=dict[str, str], repr=False
    )  # the whole environment of user code
    functions: dict[str, str] = field(default_factory=dict[str, str])  # tag → id of the app's functions
    workdir: str = "/root"
    image_id: str = ""
    is_class: bool = False
    arguments: str = ""  # base64 of the pickled (args, kwargs) of a class's constructor
    max_inputs: int = 1  # inputs that run at once
    batch_size: int = 0  # 0: the function takes single inputs
    batch_wait_ms: int = 0
    snapshot: bool = False
    grace_s: float = 30.0  # for @exit
    single_use: bool = False  # it ends after one input
    has_gpu: bool = False  # its containers have GPUs; a template has none
    volumes: list[str] = field(default_factory=list[str])  # where they are mounted
    web: dict[str, Any] | None = None  # of a function that answers web requests: its WebSpec
    cluster: dict[str, Any] | None = None  # of a member of one: its Membership
    entrypoint: list[str] = field(default_factory=list[str])  # the image's: it starts the agent anew


@record
class Ready:
    """Agent → worker: user code is imported, inputs may come."""

    python: str
    seconds: dict[str, float] = field(
        default_factory=dict[str, float]
    )  # of its start's parts: imports, enter


@record
class Failed:
    """Agent → worker: user code did not import; the payload is the pickled failure."""

    message: str


@record
class Leaving:
    """Agent → worker: it takes no more inputs and runs what is to be run at its end, within `grace_s` of Begin."""


@record
class Prepared:
    """Template → worker: user code is imported, and its memory is as containers may have it: they can be forked."""

    python: str
    seconds: dict[str, float] = field(default_factory=dict[str, float])  # imports, enter


@record
class Unfit:
    """Template → worker: no container can be forked from what user code has made; the template ends.

    The reason is shown to the user: a clause like "its import starts a thread (poll in module feed)".
    """

    reason: str


@record
class Prove:
    """Worker → a fork of a template, in place of Begin: compute with the libraries that are imported, and end."""

    limit_s: float = 2.0  # a fork that takes longer ends by SIGALRM


@record
class Proved:
    """Fork → worker: the libraries work in it."""


@record
class Again:
    """Worker → agent: the server was lost and is back; what it has not answered is to be sent again."""


@record
class ReplayTask:
    """What a container runs again: a file of its own. `begin` is a Begin without its environment."""

    begin: dict[str, Any]
    input_id: str
    debug: bool = True


DATA_FD = 100
"""Inputs and results: a SOCK_SEQPACKET whose packets are one entry each (RUN in, RESULTS out)."""

SIDE_FD = 101
"""What user code asks for, and the first messages: a stream of entries."""

CELL_FD = 102
"""Memory shared with the worker: which inputs run, and since when (see slots.py)."""

FORK_FD = 103
"""In a template: where it hears that it is to fork (container/fork.py)."""

AHEAD = b"ahead"
"""Told to a fork that waits, and said by it in turn: it shall be, and is, as far as it can be before it is a container."""

CELL_FORMAT = "<QI"  # CLOCK_MONOTONIC nanoseconds at which the input started (0: none runs), its index
CELL_CALL_AT = 16  # the call id lies behind it
SLOT_SIZE = 64
SHELF_AT = (
    SLOT_SIZE  # behind the one slot of a container that runs one input at a time: the shelf (see shelf.py)
)
CELL_SIZE = 64 << 10

PACKET_MAX = 64 << 10
"""A larger entry's payload travels as a file descriptor (a memfd) beside its header."""

RING = "/ionian"
"""Where `ionian` and `cloudpickle` lie in every container, read-only."""

BUILD_CALL = "/run/ionian-build-call"
"""Where the arguments of a function of an image build lie, and the function itself where it goes by value."""

REPLAY = "/run/ionian-replay"
"""Where what is to be run again lies: task.json, the pickled input, and the command `replay` that runs it."""
