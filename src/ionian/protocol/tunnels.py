"""Tunnels: what a container and the server say of connections to a port in the container.

The container asks for everything, connections and bytes: so who is slow slows the other side, and nothing is sent to a
container that it did not ask for.
"""

from __future__ import annotations

from dataclasses import dataclass

PIECE = 64 << 10
"""The most bytes of a connection in one message."""


@dataclass
class OpenTunnel:
    """Container → server: listen for this port of mine. Answered by TunnelOpened."""

    port: int
    unencrypted: bool = False


@dataclass
class TunnelOpened:
    """Where it is reached: by TLS where the server has a certificate, and as it is where that was asked for."""

    host: str
    port: int
    encrypted: bool
    unencrypted_host: str = ""
    unencrypted_port: int = 0


@dataclass
class CloseTunnel:
    """Container → server: no more connections to this port. Those that are there end. Answered by Done."""

    port: int


@dataclass
class TakeConnection:
    """Container → server: the next connection to this port. Answered by TunnelConnection, when there is one."""

    port: int


@dataclass
class TunnelConnection:
    """The answer to TakeConnection; no id: the tunnel is closed."""

    connection_id: str


@dataclass
class TakeData:
    """Container → server: bytes that the client has sent. Answered by Done with them, none at the end."""

    connection_id: str


@dataclass
class GiveData:
    """Container → server: the payload is for the client; an empty one is the end. Answered by Done, when there is room for more."""

    connection_id: str


@dataclass
class EndConnection:
    """Container → server: neither side of the connection says anything more. Answered by Done."""

    connection_id: str
