"""What apps and functions are, and what they did between two times."""

from __future__ import annotations

from dataclasses import dataclass, field

from .spec import FunctionSpec, Overrides


@dataclass
class DescribeApp:
    """What an app is, stopped ones too. Answered with AppDescription."""

    app_id: str


@dataclass
class AppDescription:
    """An app and its life. A time of 0: that has not happened."""

    app_id: str
    name: str
    environment: str
    state: str  # one of protocol.apps.AppState
    version: int = 0
    created_at: float = 0.0
    created_by: str = ""
    deployed_at: float = 0.0
    deployed_by: str = ""
    stopped_at: float = 0.0
    reason: str = ""  # why it was stopped
    functions: dict[str, str] = field(default_factory=dict[str, str])  # tag → id


@dataclass
class MeasureApp:
    """What the functions of an app did from one time to before another. Answered with AppMeasured."""

    app_id: str
    since_at: float  # seconds since 1970
    until_at: float


@dataclass
class FunctionCounts:
    """What a function and its variants did."""

    tag: str
    function_id: str
    succeeded: int = 0
    failed: int = 0  # those that ran too long among them
    containers: int = 0  # that were there
    container_errors: int = 0  # that ended otherwise than they were asked to
    cancelled: int = 0


@dataclass
class AppMeasured:
    """The functions that the app has now, and what they did."""

    app: AppDescription
    functions: list[FunctionCounts] = field(default_factory=list[FunctionCounts])
    deployments: int = 0


@dataclass
class InspectFunction:
    """What a function, or a variant of one, is. Answered with FunctionInspected."""

    function_id: str


@dataclass
class FunctionInspected:
    """A function without what only its containers need: files, image steps and variables."""

    app_id: str
    app_name: str
    environment: str
    spec: FunctionSpec
    urls: dict[str, list[str]] = field(
        default_factory=dict[str, list[str]]
    )  # of web endpoints, by method ("": itself)
    volumes: dict[str, str] = field(default_factory=dict[str, str])  # id → name, of those that have one


@dataclass
class MeasureFunction:
    """What a function did from one time to before another; with `all_variants`, its variants too; with a container, what
    that one of them did."""

    function_id: str
    since_at: float
    until_at: float
    all_variants: bool = False
    container_id: str = ""


@dataclass
class Distribution:
    """How a number is spread: percentile → value."""

    name: str
    unit: str
    percentiles: dict[str, float] = field(default_factory=dict[str, float])


@dataclass
class FunctionMeasured:
    """What a function did. Distributions of which nothing is known are left out."""

    function_id: str
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    running: int = 0  # at the end of the time
    started: int = 0  # containers
    container_errors: int = 0
    creating: int = 0  # at the end of the time
    containers: int = 0  # that were there
    inputs: list[Distribution] = field(default_factory=list[Distribution])
    of_containers: list[Distribution] = field(default_factory=list[Distribution])
    variants: int = 0


@dataclass
class ListVariants:
    """The variants of a function: with other options, or of a class with its parameters. Of a variant, those of its function.
    Answered with VariantList."""

    function_id: str
    limit: int = 0  # 0: all


@dataclass
class VariantListed:
    """A variant, and what it has otherwise. Of variables only the names are told."""

    function_id: str
    overrides: Overrides
    containers: int = 0  # that it has now


@dataclass
class VariantList:
    """The answer to ListVariants: those with the most containers first."""

    base: FunctionInspected
    variants: list[VariantListed] = field(default_factory=list[VariantListed])
