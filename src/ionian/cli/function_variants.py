"""`ionian function variants`: a function with other options, or a class with its parameters."""

from __future__ import annotations

import base64
import io
import json
import pickle
from typing import Any, NoReturn

import click

from ..protocol.spec import FunctionSpec, Overrides
from ..protocol.statistics import ListVariants, VariantList
from . import statistics
from .lists import ask, env_option, json_option, show_table


@click.command("variants", short_help="List the variants of a function.")
@click.argument("function", metavar="FUNCTION")
@click.option(
    "-n",
    "--limit",
    type=click.IntRange(min=0),
    default=200,
    show_default=True,
    help="At most so many; 0: all.",
)
@env_option
@json_option
def variants(function: str, limit: int, environment: str, as_json: bool) -> None:
    """Lists what a function was called as besides itself, with other options (`with_options`) or, of a class, with its
    parameters. Those with the most containers are first."""
    found = statistics.function_of(function, environment)
    listed: VariantList = ask(ListVariants(found.object_id, limit))
    spec = listed.base.spec
    rows = [
        (one.function_id, parameters_of(one.overrides), options_of(one.overrides, spec), one.containers)
        for one in listed.variants
    ]
    if as_json:
        of_class = spec.class_spec is not None
        said = [
            {
                "function_id": function_id,
                **({"parameters": parameters} if of_class else {}),
                "options": options,
                "containers": containers,
            }
            for function_id, parameters, options, containers in rows
        ]
        click.echo(json.dumps(said, indent=2, default=repr))
        return
    show_table(
        ("Function ID", "Parameters", "Options", "Containers"),
        [
            (
                function_id,
                "unavailable" if parameters is None else _said(parameters),
                _said(options),
                str(containers),
            )
            for function_id, parameters, options, containers in rows
        ],
        as_json=False,
        nothing="It has no variant.",
    )


def _said(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())


class _Plain(pickle.Unpickler):
    """Reads texts, numbers and bytes: whoever made a variant may be another, and nothing of theirs is run here."""

    def find_class(self, module_name: str, global_name: str, /) -> NoReturn:
        raise pickle.UnpicklingError(f"{module_name}.{global_name}")


def parameters_of(overrides: Overrides) -> dict[str, Any] | None:
    """The parameters of a class; None where they are no plain values."""
    if not overrides.arguments:
        return {}
    try:
        args, kwargs = _Plain(io.BytesIO(base64.b64decode(overrides.arguments))).load()
        return {**{str(place): value for place, value in enumerate(args)}, **kwargs}
    except Exception:
        return None


def options_of(overrides: Overrides, base: FunctionSpec) -> dict[str, Any]:
    """What is otherwise than at the function, by the names of the arguments that say so."""
    found: dict[str, Any] = {}
    if (asked := overrides.resources) is not None:
        own = base.resources
        if (asked.cpu_milli, asked.cpu_limit_milli) != (own.cpu_milli, own.cpu_limit_milli):
            found["cpu"] = _with_limit(asked.cpu_milli / 1000, asked.cpu_limit_milli / 1000)
        if (asked.memory_mib, asked.memory_limit_mib) != (own.memory_mib, own.memory_limit_mib):
            found["memory"] = _with_limit(asked.memory_mib, asked.memory_limit_mib)
        if asked.gpus != own.gpus:
            found["gpu"] = " or ".join(f"{gpu.model}:{gpu.count}" for gpu in asked.gpus)
    for name, value in (
        ("env", sorted(overrides.env or {})),
        ("secrets", overrides.secret_ids),
        ("volumes", {mount.path: mount.volume_id for mount in overrides.volumes or []}),
        ("retries", overrides.retries.max_retries if overrides.retries is not None else None),
        ("timeout", int(overrides.timeout_s) if overrides.timeout_s is not None else None),
        ("version", overrides.version),
    ):
        if value not in (None, [], {}):
            found[name] = value
    return found | _numbers(overrides, base)


def _numbers(overrides: Overrides, base: FunctionSpec) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if (scaling := overrides.scaling) is not None:
        for name, own in (
            ("max_containers", base.scaling.max_containers),
            ("buffer_containers", base.scaling.buffer_containers),
        ):
            if (value := getattr(scaling, name)) != own:
                found[name] = value
        if scaling.scaledown_window_s != base.scaling.scaledown_window_s:
            found["scaledown_window"] = int(scaling.scaledown_window_s)
    if (several := overrides.concurrency) is not None:
        found["max_inputs"] = several.max_inputs
        if several.target_inputs:
            found["target_inputs"] = several.target_inputs
    if (batch := overrides.batching) is not None:
        found |= {"max_batch_size": batch.max_batch_size, "wait_ms": batch.wait_ms}
    return found


def _with_limit(request: Any, limit: Any) -> Any:
    return (request, limit) if limit else request
