"""Under which name others reach what listens here."""

from __future__ import annotations

import ipaddress
import socket

from ionian.server.own_address import bracketed, reached_at


def test_all_addresses_of_this_machine_are_shown_as_one_that_others_reach() -> None:
    shown = reached_at("0.0.0.0")
    assert shown == socket.gethostname() or not ipaddress.ip_address(shown).is_unspecified
    assert bracketed(reached_at("::")) != "[::]"


def test_another_address_is_shown_as_it_is() -> None:
    assert reached_at("127.0.0.1") == "127.0.0.1"
    assert bracketed("::1") == "[::1]"
