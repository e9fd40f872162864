"""Which containers may be forks of one template: those that import the same, and see the same while they do."""

from __future__ import annotations

import hashlib
from dataclasses import replace

import msgspec

from ...protocol.spec import Concurrency, FunctionSpec, ImageSpec, Resources, Scaling
from ...protocol.workers import StartContainer

_encode = msgspec.json.Encoder(order="sorted").encode


def key_of(ask: StartContainer) -> str:
    """Equal for two containers that may be forks of one template."""
    seen = (
        ask.app_id,
        ask.environment,
        _imported(ask.function),
        bool(ask.devices),
        ask.functions,
        ask.secrets,
    )
    return hashlib.sha256(_encode(seen)).hexdigest()


def _imported(function: FunctionSpec) -> FunctionSpec:
    """The function without what a fork is told for itself: its limits, how many inputs it runs, how long, on which card. What
    is not named here makes another template. A variant whose object is made after the fork shares that of its function."""
    kind = function.class_spec
    return replace(
        function,
        function_id=function.base_id or function.function_id,
        base_id="",
        image=ImageSpec() if function.image_id else function.image,  # its id says it
        class_spec=kind if kind is None or function.snapshot else replace(kind, arguments=""),
        resources=Resources(memory_limit_mib=function.resources.memory_limit_mib),
        scaling=Scaling(),
        concurrency=Concurrency(),
        batching=None,
        single_use=False,
        timeout_s=0.0,
        startup_timeout_s=0.0,
        retries=None,
        schedule=None,
        secret_ids=[],  # their values count
        version=0,
    )
