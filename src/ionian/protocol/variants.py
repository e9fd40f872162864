"""Variants of functions: the same function with other options, or a class with its parameters."""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from typing import Any

from .ids import derived_id
from .spec import FunctionSpec, Overrides, Scaling


def variant_id(base_id: str, overrides: Overrides) -> str:
    """The id of a variant: equal overrides of one function are one variant, whoever asks for it."""
    text = json.dumps([base_id, _given(overrides)], sort_keys=True, separators=(",", ":"))
    return derived_id("fu", text)


def vary(base: FunctionSpec, overrides: Overrides) -> FunctionSpec:
    """The spec of a variant.

    Each pool of a class, and each earlier version, holds the minimum that it was given itself, and not that of its class: else every set of
    parameters that was ever used would hold containers for good.
    """
    varied = replace(base, function_id=variant_id(base.function_id, overrides), base_id=base.function_id)
    for name in ("resources", "scaling", "retries", "timeout_s", "concurrency", "batching"):
        value = getattr(overrides, name)
        if value is not None:
            setattr(varied, name, value)
    if overrides.version is not None:  # and `base` is of that version
        varied.pinned = True
        if overrides.scaling is None:
            varied.scaling = without_minimum(base.scaling)
    if overrides.env is not None:
        varied.env = {**base.env, **overrides.env}
    if overrides.secret_ids is not None:
        varied.secret_ids = list(overrides.secret_ids)
    if overrides.volumes is not None:
        varied.volumes = list(overrides.volumes)
    if overrides.arguments is not None and base.class_spec is not None:
        varied.class_spec = replace(base.class_spec, arguments=overrides.arguments)
        if overrides.scaling is None:
            varied.scaling = without_minimum(base.scaling)
    return varied


def combine(first: Overrides, second: Overrides) -> Overrides:
    """The overrides of a variant of a variant: what the second says counts; variables of both are there."""
    combined = Overrides(**{**_shallow(first), **_shallow(second)})
    if first.env is not None and second.env is not None:
        combined.env = {**first.env, **second.env}
    return combined


def without_minimum(scaling: Scaling) -> Scaling:
    """The same, with no container while there is nothing to do."""
    return replace(scaling, min_containers=0)


def _shallow(overrides: Overrides) -> dict[str, Any]:
    values = {field.name: getattr(overrides, field.name) for field in fields(overrides)}
    return {name: value for name, value in values.items() if value is not None}


def _given(overrides: Overrides) -> dict[str, Any]:
    return {name: value for name, value in asdict(overrides).items() if value is not None}
