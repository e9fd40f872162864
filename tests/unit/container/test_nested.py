"""What a container makes of an answer is the message itself, with all that it holds."""

from __future__ import annotations

import json

from ionian.container.nested import made
from ionian.container.wire import pack_message
from ionian.protocol.calls import AutoscalerSettings, BindFunction, CallGraph, FoundFunction, InputNode
from ionian.protocol.spec import Concurrency, MethodSpec, Overrides, ParameterSpec, Scaling, VolumeMount
from ionian.protocol.wire import entries

MESSAGES = [
    FoundFunction("fu-1", "ap-1", methods=[MethodSpec("f", True)], parameters=[ParameterSpec("n", "int")]),
    AutoscalerSettings(Scaling(max_containers=3)),
    CallGraph([InputNode("in-1", "fc-1", "", "success", "f", "m")]),
    CallGraph(),
    BindFunction(
        "fu-1",
        Overrides(
            concurrency=Concurrency(3),
            volumes=[VolumeMount("/v", "vo-1")],
            env={"A": "b"},
            secret_ids=["st-1"],
        ),
    ),
]


def test_a_message_is_the_same_after_its_way():
    for message in MESSAGES:
        ((_, header, _),) = entries(memoryview(pack_message(message)))
        name, _, body = json.loads(bytes(header))
        assert name == type(message).__name__
        assert made(type(message), body) == message
