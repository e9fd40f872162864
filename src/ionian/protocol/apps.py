"""Apps: what a client asks of the server to define and run them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from .spec import FunctionSpec, ImageSpec, Resources
from .workers import Start

AppState = Literal["initializing", "ephemeral", "detached", "deployed", "stopped"]

Strategy = Literal["rolling", "recreate"]


@dataclass
class CreateApp:
    """Makes an app under an id that the client chose; repeating it is harmless.

    `deploy`: the deployed app of this name is answered where there is one, with the ids of its functions, which stay
    the same over all versions. A new one stays "initializing" until its first PublishApp.
    """

    app_id: str
    name: str
    environment: str = ""
    detach: bool = False
    deploy: bool = False
    tags: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class AppCreated:
    """The answer to CreateApp."""

    app_id: str
    environment: str
    functions: dict[str, str] = field(default_factory=dict[str, str])  # tag → id, of a deployed app
    name: str = ""
    state: AppState = "initializing"


@dataclass
class StopApp:
    """Ends an app. Of a detached one only the session ends, and of a deployed one nothing, unless `for_good`."""

    app_id: str
    reason: str = ""
    for_good: bool = False


@dataclass
class TagApp:
    """Replaces the tags of an app; None: only asks for them. Answered by AppTags."""

    app_id: str
    tags: dict[str, str] | None = None


@dataclass
class AppTags:
    """The answer to TagApp."""

    tags: dict[str, str] = field(default_factory=dict[str, str])


@dataclass
class Deploy:
    """What makes a PublishApp a new version of a deployed app."""

    tag: str = ""
    strategy: Strategy = "rolling"
    client_version: str = ""
    commit: str = ""  # seven characters, "*" behind them where files were changed; "": no repository
    user: str = ""
    tags: dict[str, str] | None = None  # of the app; None: as they are


@dataclass
class PublishApp:
    """The functions of an app, all at once: from here on they can be called. Answered by AppFunctions."""

    app_id: str
    functions: list[FunctionSpec] = field(default_factory=list[FunctionSpec])
    deploy: Deploy | None = None
    budget: float | None = (
        None  # what the app may cost in a month; None: a run leaves it as it is, a deploy takes it away
    )


@dataclass
class FindApp:
    """Asks for a deployed app by name or an app by id; `create` makes an empty deployed one. Answered by AppCreated."""

    name: str  # or "ap-…"
    environment: str = ""
    create: bool = False


@dataclass
class ListApps:
    """Asks for the apps of an environment. Answered by AppList."""

    environment: str = ""
    stopped: bool = True  # those that were stopped in the last day, too


@dataclass
class AppInfo:
    """An app in a list. Times in seconds since 1970; 0: never."""

    app_id: str
    name: str
    state: AppState
    environment: str
    containers: int = 0
    created_at: float = 0.0
    stopped_at: float = 0.0
    version: int = 0
    deployed_at: float = 0.0
    next_run_at: float = 0.0  # of its schedules
    tags: dict[str, str] = field(default_factory=dict[str, str])
    reason: str = ""


@dataclass
class AppList:
    """The answer to ListApps, newest first."""

    apps: list[AppInfo] = field(default_factory=list[AppInfo])


@dataclass
class AppHistory:
    """Asks for the versions of a deployed app. Answered by AppVersions."""

    app_id: str


@dataclass
class AppVersion:
    """A version of a deployed app."""

    number: int
    deployed_at: float  # seconds since 1970
    tag: str = ""
    client_version: str = ""
    commit: str = ""
    user: str = ""
    from_version: int = 0  # of a rollback: the version that it brought back


@dataclass
class AppVersions:
    """The answer to AppHistory, newest first."""

    versions: list[AppVersion] = field(default_factory=list[AppVersion])


@dataclass
class RollbackApp:
    """Makes an earlier version of a deployed app its newest. Answered by AppRolled.

    `version`: 0 is the one that runs (a rollover: all its containers are replaced), -1 the one before it.
    """

    app_id: str
    version: int = -1
    strategy: Strategy = "rolling"


@dataclass
class AppRolled:
    """The answer to RollbackApp."""

    number: int
    from_version: int


@dataclass
class ListContainers:
    """Asks for the containers of an environment, or of one app. Answered by ContainerList."""

    environment: str = ""
    app_id: str = ""


@dataclass
class ContainerInfo:
    """A container in a list, or one that is wanted and not there (`container_id` empty): then `reason` says why."""

    container_id: str
    app_id: str
    app_name: str
    tag: str
    state: Literal["wanted", "starting", "ready", "stopping"]
    worker: str = ""
    inputs: int = 0  # that it has
    age_s: float = 0.0
    reason: str = ""
    version: int = 0
    devices: list[str] = field(default_factory=list[str])
    start: Start | None = None  # how it came to be, of one that is ready
    cluster_id: str = ""  # of a member of one,
    rank: int = 0  # and its place there


@dataclass
class ContainerList:
    """The answer to ListContainers."""

    containers: list[ContainerInfo] = field(default_factory=list[ContainerInfo])


@dataclass
class EndContainer:
    """Ends a container; its inputs run elsewhere. `graceful`: what it runs may end first."""

    container_id: str
    graceful: bool = False


@dataclass
class ReadLogs:
    """Asks for what was written, oldest first. Answered by LogLines, whose `cursor` asks for what came after them.

    With a cursor and `wait_s` the answer waits that long for the next lines: who follows asks again and again, over
    lost connections and restarts of the server.
    """

    app_id: str = ""
    container_id: str = ""
    function: str = ""  # a tag
    function_id: str = ""  # in the place of app and tag
    call_id: str = ""
    index: int = -1  # of the call's inputs; -1: all
    since_s: float = 0.0  # so many seconds back; 0: no bound
    until_s: float = 0.0
    since_at: float = 0.0  # the same as times: seconds since 1970, as lines have them
    until_at: float = 0.0
    tail: int = 100  # at most so many lines; 0: all
    grep: str = ""  # what a line must hold
    fd: int = 0  # 1 stdout, 2 stderr, 3 Ionian itself, 4 how it started; 0: all but the last
    cursor: str = ""  # of an earlier answer; `tail` and `since_s` don't count then
    wait_s: float = 0.0


@dataclass
class LogLine:
    """One line of a log."""

    at: float  # seconds since 1970
    function: str
    container_id: str
    fd: int
    text: str
    call_id: str = ""  # where the container knew for which input this was written,
    index: int = -1  # and which of the call's; -1: a batch of several, or not known


@dataclass
class LogLines:
    """Lines of a log."""

    lines: list[LogLine] = field(default_factory=list[LogLine])
    cursor: str = ""
    more: bool = False  # there is more already
    ended: bool = False  # no more will come


# --- a program run in a container, by a person


@dataclass
class StartExec:
    """Runs a program beside the function of a container. Answered by Done when it runs; ExecData and ExecEnded follow."""

    exec_id: str  # "ex-…", made by the client
    container_id: str
    argv: list[str] = field(default_factory=list[str])
    pty: bool = False
    rows: int = 24
    columns: int = 80


@dataclass
class StartReplay:
    """Runs a kept input again in a container of its own, in the terminal. Answered by ReplayStarted; ExecData and
    ExecEnded follow."""

    exec_id: str
    input_id: str
    debug: bool = True  # pdb where it fails
    shell: bool = False  # a shell beside it, in place of the run
    rows: int = 24
    columns: int = 80


@dataclass
class StartShell:
    """Runs a program in a container of its own, made as those of the function are. Answered by ShellStarted; ExecData and
    ExecEnded follow."""

    exec_id: str
    function_id: str
    argv: list[str]
    pty: bool = False
    rows: int = 24
    columns: int = 80


@dataclass
class ShellStarted:
    """The answer to StartShell."""

    container_id: str


@dataclass
class ReplayStarted:
    """The answer to StartReplay."""

    tag: str
    app_name: str
    version: int
    failure: str  # how the input ended
    may_differ: list[str] = field(default_factory=list[str])  # sentences: secrets, volumes, time


@dataclass
class ExecData:
    """What is typed (client → container, fd 0; empty payload: the end) or written (fd 1, 2): the payload."""

    exec_id: str
    fd: int


EXEC_WINDOW = 256 << 10
"""Bytes of ExecData that may be on their way in each direction before the other side says ExecTaken."""


@dataclass
class ExecTaken:
    """So many more bytes of ExecData are with the program, or on the person's terminal: as many may follow."""

    exec_id: str
    size: int


@dataclass
class ResizeExec:
    """The terminal of the person has another size."""

    exec_id: str
    rows: int
    columns: int


@dataclass
class ExecEnded:
    """The program has ended. `code`: its exit status, or minus the signal; `reason` where it could not be run."""

    exec_id: str
    code: int
    reason: str = ""


@dataclass
class KillExec:
    """The person went away: the program ends."""

    exec_id: str


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
    size: int = 0  # bytes on the disk of its layers


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
    size: int = 0  # bytes on the disk of the layer that it made, for "done"


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


SYSTEM = 3
"""The stream of what Ionian itself says."""

STARTED = 4
"""The stream of the line that says how a container started: shown only where it is asked for."""


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
    cost: float = 0.0
    currency: str = ""  # "": nothing has a price here
