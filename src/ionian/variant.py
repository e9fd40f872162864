"""Functions with other options than their decorator gave them: `with_options`, `with_concurrency`, `with_batching`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from . import config, later
from .cloud_bucket_mount import without_buckets
from .exception import InvalidError
from .function import Function
from .options import FunctionOptions, checked
from .partial_function import batching_of, concurrency_of

if TYPE_CHECKING:
    from .protocol.calls import FunctionDescription
    from .protocol.spec import Overrides, Resources, Scaling

    AnyFunction = Function[..., Any, Any]

RESOURCES = ("cpu", "memory", "gpu")
SCALING = ("max_containers", "buffer_containers", "scaledown_window")
OTHERS = ("env", "secrets", "volumes", "retries", "timeout")

UNSET: dict[str, Any] = dict.fromkeys(
    [
        "image",
        "ephemeral_disk",
        "min_containers",
        "startup_timeout",
        "include_source",
        "is_generator",
        "name",
        "schedule",
    ]
)
FLAGS = dict.fromkeys(
    [
        "single_use_containers",
        "serialized",
        "nonpreemptible",
        "enable_memory_snapshot",
        "block_network",
        "restrict_modal_access",
    ],
    False,
)


class Given:
    """What a variant has otherwise, checked. Later ones are put over earlier ones."""

    def __init__(self, names: frozenset[str] = frozenset(), options: FunctionOptions | None = None) -> None:
        self.names = names
        self.options = options or FunctionOptions()

    def over(self, earlier: Given) -> Given:
        """These, and what the earlier ones said beside them."""
        merged = FunctionOptions()
        for given in (earlier, self):
            for name in given.names:
                for field in FIELDS[name]:
                    setattr(merged, field, getattr(given.options, field))
        if {"env"} <= earlier.names & self.names:
            merged.env = {**earlier.options.env, **self.options.env}
        return Given(earlier.names | self.names, merged)


FIELDS: dict[str, tuple[str, ...]] = {
    "cpu": ("cpu_milli", "cpu_limit_milli"),
    "memory": ("memory_mib", "memory_limit_mib"),
    "gpu": ("gpus",),
    "env": ("env",),
    "secrets": ("secrets",),
    "volumes": ("volumes",),
    "retries": ("retries",),
    "max_containers": ("max_containers",),
    "buffer_containers": ("buffer_containers",),
    "scaledown_window": ("scaledown_window_s",),
    "timeout": ("timeout_s",),
    "concurrency": ("max_inputs", "target_inputs"),
    "batching": ("batch_size", "batch_wait_ms"),
}
"""Arguments, and what they are among the options of a function."""


def given_options(given: Mapping[str, Any]) -> Given:
    """The arguments of `with_options`. Raises InvalidError, naming the argument and what is right."""
    later.refuse(
        "Function.with_options", **{name: given[name] for name in ("region", "cloud", "routing_region")}
    )
    names = frozenset(name for name in (*RESOURCES, *SCALING, *OTHERS) if given[name] not in (None, {}))
    if not names:
        raise InvalidError("with_options: expected at least one option, got none")
    without_buckets("volumes", given["volumes"])
    timeout = 300 if given["timeout"] is None else given["timeout"]
    return Given(names, checked({**UNSET, **FLAGS, **given, "timeout": timeout}))


class Variant(Function[..., Any, Any]):
    """A function with other options, and containers of its own."""

    def __init__(self, base: AnyFunction, given: Given) -> None:
        earlier: Any = base
        if isinstance(earlier, Variant):
            base, given = earlier.base, given.over(earlier.otherwise)
        self.base: AnyFunction = base
        self.otherwise = given
        super().__init__(base.raw, base._app, base.tag, base.options, is_generator=False)
        self.method = base.method
        self._bound_to = ""  # the id of the function that `function_id` is a variant of
        if given.options.retries is not None and base.raw is not None and base.is_generator:
            raise InvalidError(f"retries: {base.tag} is a generator, which can't be tried again")

    @property
    def is_generator(self) -> bool:
        """Whether a call gives an iterator."""
        return self.base.is_generator

    def hydrate(self, client: Any = None) -> Variant:
        """Sees to it that the variant has its id, and returns it. Raises ExecutionError where its app is not running."""
        base_id = self.base.hydrate(client).function_id
        if self._bound_to != base_id:
            from . import link
            from .protocol.calls import BindFunction, DescribeFunction

            current = link.current()
            found, _ = current.request(DescribeFunction(base_id))
            answer, _ = current.request(BindFunction(base_id, self._overrides(found)))
            self.function_id, self._bound_to = answer.function_id, base_id
        return self

    def _overrides(self, found: FunctionDescription) -> Overrides:
        from .protocol.spec import Batching, Concurrency, Overrides

        names, options = self.otherwise.names, self.otherwise.options
        changes = Overrides()
        if names & set(RESOURCES):
            changes.resources = self._resources(found.resources)
        if names & set(SCALING):
            changes.scaling = self._scaling(found.scaling)
        if "retries" in names:
            changes.retries = options.retries
        if "timeout" in names:
            changes.timeout_s = options.timeout_s
        if "env" in names:
            changes.env = options.env
        if "secrets" in names:
            changes.secret_ids = [_secret_id(found, secret) for secret in options.secrets]
        if "volumes" in names:
            changes.volumes = [_mount(path, volume, found) for path, volume in options.volumes.items()]
        if "concurrency" in names:
            changes.concurrency = Concurrency(options.max_inputs, options.target_inputs)
        if "batching" in names:
            changes.batching = Batching(options.batch_size, options.batch_wait_ms)
        return changes

    def _resources(self, of_base: Resources) -> Resources:
        options, names = self.otherwise.options, self.otherwise.names
        if "cpu" in names:
            of_base.cpu_milli, of_base.cpu_limit_milli = options.cpu_milli, options.cpu_limit_milli
        if "memory" in names:
            of_base.memory_mib, of_base.memory_limit_mib = options.memory_mib, options.memory_limit_mib
        if "gpu" in names:
            of_base.gpus = [] if config.get("gpu") == "ignore" else options.gpus
        return of_base

    def _scaling(self, of_base: Scaling) -> Scaling:
        options, names = self.otherwise.options, self.otherwise.names
        for name in SCALING:
            if name in names:
                (field,) = FIELDS[name]
                setattr(of_base, field, getattr(options, field))
        most = of_base.max_containers
        of_base.min_containers = min(of_base.min_containers, most) if most else of_base.min_containers
        return of_base

    def __repr__(self) -> str:
        return f"<Function {self.tag} with other {', '.join(sorted(self.otherwise.names))}>"


def with_concurrency(base: AnyFunction, max_inputs: int, target_inputs: int | None) -> Variant:
    """The function with another limit of inputs at once."""
    options = FunctionOptions()
    options.max_inputs, options.target_inputs = concurrency_of(max_inputs, target_inputs)
    return Variant(base, Given(frozenset({"concurrency"}), options))


def with_batching(base: AnyFunction, max_batch_size: int, wait_ms: int) -> Variant:
    """The function with other batches."""
    if base.raw is not None and base.is_generator:
        raise InvalidError(f"with_batching: {base.tag} is a generator, and what is batched returns a list")
    options = FunctionOptions()
    options.batch_size, options.batch_wait_ms = batching_of(max_batch_size, wait_ms)
    return Variant(base, Given(frozenset({"batching"}), options))


def _secret_id(found: FunctionDescription, secret: Any) -> str:
    from . import link
    from .secret import request_of

    answer, _ = link.current().request(request_of(secret, found.app_id, found.environment))
    return answer.secret_id if secret.name is None else answer.object_id


def _mount(path: str, volume: Any, found: FunctionDescription) -> Any:
    from .protocol.spec import VolumeMount
    from .steps import run
    from .volume import asked_id

    volume_id = run(asked_id(volume, found.environment))
    return VolumeMount(path, volume_id, volume.is_read_only, volume.sub_path)
