"""What containers, templates and builds used, from workers to the server; and what came of it, for people."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Line = Literal["calls", "startup", "idle", "templates", "shells", "builds"]
"""On what it was used: inputs; what a container does until it is ready; a container that waits for inputs; processes from which
containers are forked; what persons run in containers of their own; the steps of images."""

By = Literal["day", "hour", "environment", "app", "function", "line", "container", "call"]


@dataclass
class Amounts:
    """Seconds, and what was held or used in them. What is charged is the larger of both, second by second."""

    wall_s: float = 0.0
    cpu_s: float = 0.0  # core-seconds that are charged
    memory_gib_s: float = 0.0  # likewise
    gpu_s: float = 0.0  # of all cards together
    used_cpu_s: float = 0.0
    used_memory_gib_s: float = 0.0

    def add(self, other: Amounts, share: float = 1.0) -> None:
        """Adds a part of others."""
        self.wall_s += other.wall_s * share
        self.cpu_s += other.cpu_s * share
        self.memory_gib_s += other.memory_gib_s * share
        self.gpu_s += other.gpu_s * share
        self.used_cpu_s += other.used_cpu_s * share
        self.used_memory_gib_s += other.used_memory_gib_s * share


@dataclass
class Reading:
    """What one container, template or build used since the reading of it before. Of a build the function is its app."""

    id: str  # of the container; of a template, te-…; of a build, its image's and a number
    app_id: str
    environment: str
    function_id: str
    root_id: str  # of a variant: its function; else the function itself
    tag: str
    gpu: str = ""  # the model of its cards
    lines: dict[Line, Amounts] = field(default_factory=dict[Line, Amounts])
    calls: dict[str, float] = field(default_factory=dict[str, float])
    """Calls → how much of the line `calls` was theirs, from 0 to 1. Those that took least are left out."""


@dataclass
class Metered:
    """Worker → server: readings, told again until they are kept. One `source` is one process of a worker."""

    source: str
    seq: int  # of this source, from 1
    age_s: float  # since the readings were taken
    readings: list[Reading] = field(default_factory=list[Reading])


@dataclass
class MeteredKept:
    """Server → worker: readings up to this number are on disk."""

    seq: int


@dataclass
class ReadUsage:
    """What was used from one time to before another, summed by some of these. Answered with UsageReport."""

    by: list[By]
    since_at: float  # seconds since 1970
    until_at: float
    environment: str = ""  # "": the actor's, or all
    app: str = ""  # a name or an id
    zone: str = "UTC"  # whose days and hours they are
    tags: bool = False  # with the tags of apps


@dataclass
class UsageRow:
    """A sum. `keys`: what it was summed by → which one."""

    keys: dict[str, str]
    names: dict[str, str] = field(default_factory=dict[str, str])  # of an app or a function, beside its id
    used: Amounts = field(default_factory=Amounts)
    gpus: dict[str, float] = field(default_factory=dict[str, float])  # model → seconds
    costs: dict[str, float] = field(default_factory=dict[str, float])  # "cpu", "memory", a model → its price
    tags: dict[str, str] = field(default_factory=dict[str, str])  # of an app, where they were asked for

    @property
    def cost(self) -> float:
        """In the currency of the report."""
        return sum(self.costs.values())


@dataclass
class UsageReport:
    """The answer to ReadUsage."""

    rows: list[UsageRow] = field(default_factory=list[UsageRow])
    currency: str = ""  # "": nothing has a price here


@dataclass
class ReadPrices:
    """What things cost on this server. Answered with PriceList."""


@dataclass
class PriceList:
    """Prices of an hour; the model "other" is any that is not named."""

    currency: str = ""
    cpu_core: float = 0.0
    memory_gib: float = 0.0
    gpu: dict[str, float] = field(default_factory=dict[str, float])
