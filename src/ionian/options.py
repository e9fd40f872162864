"""What a function asks for: the arguments of `@app.function`, checked and in the units of the protocol."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, cast

from .arguments import flag, integer, number, object_name, variables, wrong
from .cloud_bucket_mount import CloudBucketMount, bucket_mounts
from .exception import InvalidError
from .gpu import parse_gpus
from .image import Image
from .retries import retry_policy
from .schedule import schedule_spec
from .secret import secret_list
from .volume import volume_mounts

if TYPE_CHECKING:
    from .protocol.spec import GpuRequest, Resources, RetryPolicy, Scaling, Schedule
    from .secret import Secret
    from .volume import Volume

TIMEOUT_S = 300.0
"""How long an input, and a start, may take unless the function says otherwise: Modal's default."""

LONGEST_S = 86_400
"""A day, as Modal has it; the server refuses more."""

MOST_CONTAINERS = 100_000
"""Of one function: ten times what the scheduler is measured with."""

SCALEDOWN_S = 60.0
"""How long an idle container waits for another input: Modal's default."""


class FunctionOptions:
    """The options of one function. In a container only `image` is kept: the rest was used before it started."""

    def __init__(self, image: Image | None = None) -> None:
        self.image = image  # None: the app's, else debian_slim
        self.env: dict[str, str] = {}  # wins over secrets
        self.secrets: tuple[Secret, ...] = ()  # a later one wins
        self.volumes: dict[str, Volume] = {}
        self.buckets: dict[str, CloudBucketMount] = {}
        self.gpus: list[GpuRequest] = []
        self.cpu_milli = 125
        self.cpu_limit_milli = 0
        self.memory_mib = 128
        self.memory_limit_mib = 0
        self.ephemeral_disk_mib = 0
        self.min_containers = 0
        self.max_containers = 0
        self.buffer_containers = 0
        self.scaledown_window_s = SCALEDOWN_S
        self.timeout_s = TIMEOUT_S
        self.startup_timeout_s = TIMEOUT_S
        self.retries: RetryPolicy | None = None
        self.single_use = False
        self.block_network = False
        self.restricted = False  # restrict_modal_access
        self.max_inputs = 1  # at once, in one container
        self.target_inputs = 0  # what the autoscaler aims at; 0: max_inputs
        self.batch_size = 0  # 0: it takes single inputs
        self.batch_wait_ms = 0
        self.cluster_size = 0  # @clustered; 0: it is none
        self.rdma = False
        self.fabric_size = 0
        self.snapshot = False  # enable_memory_snapshot
        self.schedule: Schedule | None = None
        self.serialized = False
        self.include_source = True

    def resources(self) -> Resources:
        """What one container asks for, as the protocol says it."""
        from .protocol.spec import Resources

        return Resources(
            cpu_milli=self.cpu_milli,
            cpu_limit_milli=self.cpu_limit_milli,
            memory_mib=self.memory_mib,
            memory_limit_mib=self.memory_limit_mib,
            ephemeral_disk_mib=self.ephemeral_disk_mib,
            gpus=list(self.gpus),
        )

    def scaling(self) -> Scaling:
        """How many containers there are, as the protocol says it."""
        from .protocol.spec import Scaling

        return Scaling(
            min_containers=self.min_containers,
            max_containers=self.max_containers,
            buffer_containers=self.buffer_containers,
            scaledown_window_s=self.scaledown_window_s,
        )

    def __repr__(self) -> str:
        default = vars(FunctionOptions())
        given = (f"{name}={value!r}" for name, value in vars(self).items() if value != default[name])
        return f"FunctionOptions({', '.join(given)})"


def checked(given: Mapping[str, Any]) -> FunctionOptions:
    """The options for arguments of `@app.function`. Raises InvalidError, naming the argument and what is right."""
    options = FunctionOptions(image(given["image"]))
    options.env = {} if given["env"] is None else variables("env", given["env"])
    options.secrets = secret_list(given["secrets"])
    options.volumes = volume_mounts(given["volumes"])
    options.buckets = bucket_mounts(given["volumes"])
    options.gpus = parse_gpus(given["gpu"])
    options.cpu_milli, options.cpu_limit_milli = cpu_milli(given["cpu"])
    options.memory_mib, options.memory_limit_mib = memory_mib(given["memory"])
    if given["ephemeral_disk"] is not None:
        options.ephemeral_disk_mib = integer("ephemeral_disk", given["ephemeral_disk"], least=1, unit="MiB")
    _scaling(options, given)
    options.schedule = schedule_spec(given["schedule"])
    options.retries = retry_policy(given["retries"])
    options.snapshot = flag("enable_memory_snapshot", given["enable_memory_snapshot"])
    options.timeout_s = seconds("timeout", given["timeout"])
    startup = given["startup_timeout"]
    options.startup_timeout_s = options.timeout_s if startup is None else seconds("startup_timeout", startup)
    options.single_use = flag("single_use_containers", given["single_use_containers"])
    options.block_network = flag("block_network", given["block_network"])
    options.restricted = flag("restrict_modal_access", given["restrict_modal_access"])
    options.serialized = flag("serialized", given["serialized"])
    if given["include_source"] is not None:
        options.include_source = flag("include_source", given["include_source"])
    flag("nonpreemptible", given["nonpreemptible"])  # nothing is preempted here
    if given["is_generator"] is not None:
        flag("is_generator", given["is_generator"])
    if given["name"] is not None:
        object_name("name", given["name"])
    return options


def experiments(given: Any) -> dict[str, Any]:
    """The experiments of Modal's that are asked for and not here. A snapshot of a GPU's memory changes nothing but the time
    of a start, so who asks for it is told that there is none, and runs."""
    if given is not None and not isinstance(given, Mapping):
        raise wrong("experimental_options", "a dictionary of names and values", given)
    rest = dict(cast("Mapping[str, Any]", given or {}))
    if rest.pop("efa_enabled", False):
        warnings.warn(
            "experimental_options: efa_enabled has no effect; containers of a cluster are on one machine here",
            stacklevel=4,
        )
    if rest.pop("enable_gpu_snapshot", False):
        warnings.warn(
            "experimental_options: enable_gpu_snapshot is not in this version of Ionian; "
            "containers with a GPU run their imports and @enter hooks when they start",
            stacklevel=4,
        )
    return rest


def image(value: Any) -> Image | None:
    """The argument `image`."""
    if value is not None and not isinstance(value, Image):
        raise wrong("image", "a modal.Image", value)
    return value


def _scaling(options: FunctionOptions, given: Mapping[str, Any]) -> None:
    for name in ("min_containers", "max_containers", "buffer_containers"):
        if given[name] is not None:
            setattr(options, name, scaling_argument(name, given[name]))
    if options.max_containers and options.min_containers > options.max_containers:
        raise InvalidError(
            f"min_containers: expected at most max_containers ({options.max_containers}), got {options.min_containers}"
        )
    if given["scaledown_window"] is not None:
        options.scaledown_window_s = scaling_argument("scaledown_window", given["scaledown_window"])


def scaling_argument(name: str, value: Any, written: str = "") -> Any:
    """One of the autoscaler's arguments; `written` is what the user called it, where that is a retired name."""
    if name == "scaledown_window":
        return number(written or name, value, least=1, most=86_400, unit="seconds")
    return integer(written or name, value, least=1 if name == "max_containers" else 0, most=MOST_CONTAINERS)


def seconds(name: str, value: Any) -> float:
    return number(name, value, least=1, most=LONGEST_S, unit="seconds")


def cpu_milli(value: Any) -> tuple[int, int]:
    """Request and limit in thousandths of a core; (125, 0) for None."""
    if value is None:
        return 125, 0
    request, limit = _pair("cpu", value)
    milli = [
        0 if part is None else round(1000 * number("cpu", part, least=0.001, most=4096, unit="cores"))
        for part in (request, limit)
    ]
    return _ordered("cpu", milli[0], milli[1], value)


def memory_mib(value: Any) -> tuple[int, int]:
    """Request and limit in MiB; (128, 0) for None."""
    if value is None:
        return 128, 0
    request, limit = _pair("memory", value)
    mib = [0 if part is None else integer("memory", part, least=1, unit="MiB") for part in (request, limit)]
    return _ordered("memory", mib[0], mib[1], value)


def _pair(name: str, value: Any) -> tuple[Any, Any]:
    if not isinstance(value, tuple):
        return value, None
    pair: tuple[Any, ...] = value  # pyright: ignore[reportUnknownVariableType]
    if len(pair) != 2 or None in pair:
        raise wrong(name, "one number, or a tuple (request, limit)", pair)
    return pair[0], pair[1]


def _ordered(name: str, request: int, limit: int, value: Any) -> tuple[int, int]:
    if limit and limit < request:
        raise wrong(name, "a limit that is at least the request", value)
    return request, limit
