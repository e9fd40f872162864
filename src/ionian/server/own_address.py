"""Under which name others reach what listens at an address of this machine."""

from __future__ import annotations

import socket

ANY = {"0.0.0.0": (socket.AF_INET, "192.0.2.1"), "::": (socket.AF_INET6, "2001:db8::1")}
"""Addresses that stand for all of this machine, and one of documentation (RFC 5737, 3849) for which its routes are asked."""


def reached_at(host: str) -> str:
    """The host to write into an address. Of "all addresses" it is the one from which this machine reaches others, or its
    name where it has no way to any."""
    if host not in ANY:
        return host
    family, somewhere = ANY[host]
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as sock:
            sock.connect((somewhere, 9))  # sends nothing
            return str(sock.getsockname()[0])
    except OSError:
        return socket.gethostname()


def bracketed(host: str) -> str:
    """A host as it stands in a URL."""
    return f"[{host}]" if ":" in host else host
