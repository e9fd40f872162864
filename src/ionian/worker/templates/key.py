"""Which containers may be forks of one template: those that import the same, and see the same while they do."""

from __future__ import annotations

import hashlib

import msgspec

from ...protocol.workers import StartContainer

_encode = msgspec.json.Encoder(order="sorted").encode


def key_of(ask: StartContainer) -> str:
    """Equal for two containers that may be forks of one template.

    Not in it is what a fork is told for itself: its limits, how many inputs it runs, how long, on which card. A variant
    whose object is made after the fork shares the template of its function.
    """
    function = ask.function
    kind = function.class_spec
    seen = (
        ask.app_id,
        ask.environment,
        function.base_id or function.function_id,
        function.image_id,
        function.image if not function.image_id else None,
        function.module,
        function.qualname,
        function.definition,
        function.serialized,
        function.mounts,
        function.env,
        function.volumes,
        function.snapshot,
        kind.arguments if kind is not None and function.snapshot else "",
        function.resources.memory_limit_mib,
        bool(ask.devices),
        ask.functions,
        ask.secrets,
    )
    return hashlib.sha256(_encode(seen)).hexdigest()
