"""What is secret in a message is not shown where the message is."""

from __future__ import annotations

from typing import Any

import pytest

from ionian.protocol.apps import PutSecret
from ionian.protocol.container import Begin
from ionian.protocol.messages import Hello
from ionian.protocol.secrets import PutNamedSecret
from ionian.protocol.spec import FunctionSpec, ImageSpec
from ionian.protocol.tokens import TokenCreated, TokenInfo
from ionian.protocol.workers import MakeImage, Prewarm, StartContainer

SECRET = "hunter2"

SPEC = FunctionSpec("fu-1", "f", "m", "f")


@pytest.mark.parametrize(
    "message",
    [
        Hello("client", SECRET, "1", "cl-1"),
        PutSecret(app_id="ap-1", values={"A": SECRET}),
        PutNamedSecret("st-1", "s", {"A": SECRET}),
        TokenCreated(SECRET, TokenInfo("ti-1", "client")),
        Prewarm("ap-1", "main", SPEC, {"A": SECRET}),
        MakeImage("im-1", ImageSpec(), secrets={"st-1": {"A": SECRET}}),
        StartContainer(1, "ta-1", "ap-1", "main", SPEC, {"A": SECRET}, build_secrets={"st-1": {"A": SECRET}}),
        Begin("ta-1", "fu-1", "ap-1", "m", "f", "file", env={"A": SECRET}),
    ],
    ids=lambda message: type(message).__name__,
)
def test_the_repr_of_a_message_hides_its_secret(message: Any) -> None:
    assert SECRET not in repr(message)
