"""What a container's link knows of the protocol."""

from __future__ import annotations

from ionian.container.link import MODULES
from ionian.protocol.codec import MESSAGES
from ionian.server.auth import ALLOWED


def test_a_container_finds_the_answers_to_every_message_that_it_may_send() -> None:
    """They are defined beside the question."""
    asked = [MESSAGES[name] for name in ALLOWED["container"] & MESSAGES.keys()]
    assert {kind.__module__.removeprefix("ionian.protocol.") for kind in asked} <= set(MODULES)
