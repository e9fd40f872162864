"""Calls: what clients and containers ask of the server to run functions. The inputs themselves are batches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .spec import MethodSpec, Overrides, ParameterSpec, Resources, Scaling


@dataclass
class OpenCall:
    """A call begins, or begins again after a lost connection: the same ids then mean the same call."""

    call_id: str
    function_id: str
    parent: str = ""  # the input id in which the call was made
    resumed: bool = False  # inputs that follow may have been sent before
    trace: str = ""  # the `traceparent` of the span in which the call was made


@dataclass
class CloseCalls:
    """The caller wants no more of these calls: inputs not started are dropped, running ones ended."""

    call_ids: list[str]


@dataclass
class Confirm:
    """All batches up to `seq` are in the receiver's hands and need not be kept."""

    seq: int


@dataclass
class FindFunction:
    """Asks for a function by the names of its app and itself; empty app: the caller's own app."""

    app: str
    tag: str
    environment: str = ""
    version: int = 0  # of the deployed app: the function as it was in that one


@dataclass
class FoundFunction:
    """The answer to FindFunction."""

    function_id: str
    app_id: str
    is_generator: bool = False
    tag: str = ""
    is_class: bool = False
    methods: list[MethodSpec] = field(default_factory=list[MethodSpec])
    parameters: list[ParameterSpec] = field(default_factory=list[ParameterSpec])
    app_name: str = ""
    environment: str = ""


@dataclass
class DescribeFunction:
    """Asks what a function stands on: a variant of it begins there. Answered by FunctionDescription."""

    function_id: str


@dataclass
class FunctionDescription:
    """The answer to DescribeFunction."""

    function_id: str
    app_id: str
    environment: str
    resources: Resources = field(default_factory=Resources)
    scaling: Scaling = field(default_factory=Scaling)


@dataclass
class BindFunction:
    """Asks for a variant of a function, made where it is missing. Answered by FoundFunction with the variant's id."""

    function_id: str
    overrides: Overrides


# --- spawned calls: kept by the server, and so are their results (7 days)


@dataclass
class Spawn:
    """Inputs of a call that is kept; the payload is one INPUTS entry. Answered by Done when they are synced to disk.

    The first one opens the call. Sending one again is harmless.
    """

    call_id: str
    function_id: str
    parent: str = ""  # the input id in which the call was made
    tag: str = ""  # how the caller names the function: "Class.method" for a method
    last: bool = True  # no more inputs follow
    trace: str = ""  # the `traceparent` of the span in which the call was made


@dataclass
class SpawnEach:
    """Calls of one function that have one input each, as so many Spawn; the payload is their inputs one behind the other.
    Answered by SpawnedEach when they are synced to disk."""

    function_id: str
    call_ids: list[str]
    sizes: list[int]  # bytes of each input
    parent: str = ""
    tag: str = ""
    trace: str = ""  # as of a Spawn


@dataclass
class FailedSpawn:
    """A call that is not kept, and why: a class of ionian.exception."""

    call_id: str
    type: str
    message: str


@dataclass
class SpawnedEach:
    """All calls of a SpawnEach are kept but these."""

    failed: list[FailedSpawn] = field(default_factory=list[FailedSpawn])


@dataclass
class GetOutputs:
    """Asks for results of a spawned call, from input `start` on, in the order of inputs.

    Answered when the first of them is there, or `wait_s` seconds have passed.
    """

    call_id: str
    start: int = 0
    limit: int = 1
    wait_s: float = 0.0


@dataclass
class Outputs:
    """The answer to GetOutputs; the payload is one OUTPUTS entry (or empty: none is there yet)."""

    call_id: str
    total: int  # inputs of the call so far
    done: int  # of them, those that have a result
    complete: bool = True  # no more inputs follow
    expired: bool = False  # its results were kept for 7 days and are gone


@dataclass
class GetCallInfo:
    """Asks what a spawned call is."""

    call_id: str


@dataclass
class CallInfo:
    """The answer to GetCallInfo."""

    call_id: str
    function_id: str
    tag: str
    app_id: str
    total: int
    done: int
    is_generator: bool = False
    cancelled: bool = False
    created_at: float = 0.0  # seconds since 1970


@dataclass
class ListCalls:
    """Asks for the spawned and scheduled calls of an environment, newest first. Answered by CallList.

    `function`: of this one alone, by its name; of a class all methods. `status`: "" for any.
    """

    environment: str = ""
    app_id: str = ""
    function: str = ""
    status: Literal["", "pending", "done", "cancelled"] = ""
    limit: int = 100
    before_at: float = 0.0  # those behind the last one of another list: its `created_at`,
    before_id: str = ""  # and its id


@dataclass
class ListedCall:
    """A call in a list."""

    call_id: str
    app_id: str
    app_name: str
    tag: str
    status: Literal["pending", "done", "cancelled"]
    total: int
    done: int
    created_at: float  # seconds since 1970
    finished_at: float = 0.0  # 0: it goes on
    caller: str = ""  # the container that made it, or how the id of the client begins; empty: a schedule


@dataclass
class CallList:
    """The answer to ListCalls."""

    calls: list[ListedCall] = field(default_factory=list[ListedCall])


@dataclass
class CancelCall:
    """Ends a spawned call: nothing of it starts any more, what runs is interrupted and has 30 s to clean up.

    `terminate_containers`: the containers that run it are killed at once, and their other inputs run elsewhere.
    """

    call_id: str
    terminate_containers: bool = False


InputStatus = Literal["pending", "running", "success", "failure", "timeout", "terminated", "lost"]


@dataclass
class InputNode:
    """An input of a call graph."""

    input_id: str
    call_id: str
    parent: str  # the input in which it was called; "": the root
    status: InputStatus
    tag: str
    module: str
    container_id: str = ""


@dataclass
class GetCallGraph:
    """Asks for the inputs of a call, those that they called, and so on."""

    call_id: str


@dataclass
class CallGraph:
    """The answer to GetCallGraph: parents before children."""

    inputs: list[InputNode] = field(default_factory=list[InputNode])


InputState = Literal[
    "done",
    "running",
    "starting",  # a container for it is starting
    "building",  # its image is being built
    "waiting",  # for its turn, for capacity, for a cap: `reason` says which
    "retrying",  # it failed and is tried again after a delay
    "held",  # the server was restarted and waits for its workers
    "kept",  # in the store, as enough of its call is under way
]


@dataclass
class InputReason:
    """Why inputs of a call have no result yet."""

    state: InputState
    count: int
    first: int  # the index of the first such input
    reason: str  # a sentence
    container_id: str = ""  # of a running one
    since_s: float = 0.0  # for how long it is so
    place: int = 0  # in the queue of its function, from 1; 0: it does not wait in one


@dataclass
class ExplainCall:
    """Asks why a call has no result yet."""

    call_id: str


@dataclass
class CallExplained:
    """The answer to ExplainCall: what runs first, then what waits."""

    call_id: str
    tag: str
    reasons: list[InputReason] = field(default_factory=list[InputReason])


# --- functions, while they run


@dataclass
class UpdateAutoscaler:
    """Changes how many containers a function has, until its app is deployed again. None: as it is; a maximum of 0: none.

    Answered by AutoscalerSettings.
    """

    function_id: str
    min_containers: int | None = None
    max_containers: int | None = None
    buffer_containers: int | None = None
    scaledown_window_s: float | None = None


@dataclass
class GetAutoscaler:
    """Asks how many containers a function has. Answered by AutoscalerSettings."""

    function_id: str


@dataclass
class AutoscalerSettings:
    """The answer to UpdateAutoscaler and GetAutoscaler: all of them."""

    scaling: Scaling = field(default_factory=Scaling)


@dataclass
class GetFunctionStats:
    """Asks how a function is doing."""

    function_id: str


@dataclass
class FunctionStats:
    """The answer to GetFunctionStats."""

    backlog: int  # inputs that wait
    containers: int
    running_inputs: int
    input_headroom: int  # inputs that its containers could run at once beside those


@dataclass
class CallState:
    """Server → caller, now and then: how a call's function is doing (for progress and 'why it waits')."""

    function_id: str
    containers: int
    starting: int
    queued: int
    running: int
    waiting_for: str = ""
    tag: str = ""


@dataclass
class AppFunctions:
    """The functions of an app: tag → id. The answer to PublishApp."""

    app_id: str
    functions: dict[str, str] = field(default_factory=dict[str, str])
    version: int = 0  # of a deployed app
    changed: bool = True  # False: the deploy was the same as what runs, and made no version
    next_runs: dict[str, float] = field(
        default_factory=dict[str, float]
    )  # tag → seconds since 1970, of functions with a schedule
    urls: dict[str, list[str]] = field(
        default_factory=dict[str, list[str]]
    )  # tag → addresses of a web endpoint, the best first
