"""The few messages of rtnetlink that the gateway needs: links, addresses and routes. Standard library only.

Not by `ip`: four processes a namespace would cost twenty times as much.
"""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator
from ipaddress import IPv4Address, IPv6Address, IPv6Network

RTM_NEWLINK, RTM_DELLINK, RTM_GETLINK, RTM_NEWADDR, RTM_GETADDR, RTM_NEWROUTE, RTM_GETROUTE = (
    16,
    17,
    18,
    20,
    22,
    24,
    26,
)
NLMSG_ERROR, NLMSG_DONE = 2, 3
REQUEST, ACK, EXCLUSIVE, CREATE, DUMP = 0x1, 0x4, 0x200, 0x400, 0x300
IFLA_IFNAME, IFLA_MTU, IFLA_LINKINFO, IFLA_NET_NS_FD = 3, 4, 18, 28
INFO_KIND, INFO_DATA, VETH_PEER = 1, 2, 1
IFA_ADDRESS, IFA_LOCAL = 1, 2
RTA_DST, RTA_OIF, RTA_GATEWAY = 1, 4, 5
RTNH_ONLINK = 4
IFA_F_NODAD = 0x02
"""It counts at once: nobody else can have it on a pair of veth."""
LINK_SCOPE = 253
NESTED = 0x8000
IFF_UP = 1
LOOPBACK = 1
"""The index of `lo`, in every net namespace."""

LINKS, ADDRESSES, ROUTES = 0x1, 0x10, 0x40
"""What a socket may be told of: groups of rtnetlink."""
LOST = 0
"""In place of messages that were dropped, for too many came at once."""


class Netlink:
    """A socket of the net namespace in which it was opened, wherever this process goes after that."""

    def __init__(self, groups: int = 0) -> None:
        self._socket = socket.socket(
            socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.NETLINK_ROUTE
        )
        self._socket.bind((0, groups))

    def fileno(self) -> int:
        return self._socket.fileno()

    def close(self) -> None:
        self._socket.close()

    # --- links

    def set_up(self, index: int) -> None:
        """Switches an interface on."""
        self._ask(RTM_NEWLINK, _link(index))

    def add_pair(self, name: str, index: int, peer: str, peer_namespace: int, mtu: int) -> None:
        """A pair of veth, one end here and up, the other in another namespace; both have the same index."""
        size = _attribute(IFLA_MTU, struct.pack("I", mtu))
        other = _link(index, up=False) + _text(IFLA_IFNAME, peer) + size
        other += _attribute(IFLA_NET_NS_FD, struct.pack("i", peer_namespace))
        kind = _text(INFO_KIND, "veth") + _attribute(
            INFO_DATA | NESTED, _attribute(VETH_PEER | NESTED, other)
        )
        body = _link(index) + _text(IFLA_IFNAME, name) + size + _attribute(IFLA_LINKINFO | NESTED, kind)
        self._ask(RTM_NEWLINK, body, CREATE | EXCLUSIVE)

    def has(self, index: int) -> bool:
        """Whether there is an interface of this index."""
        try:
            self._ask(RTM_GETLINK, _link(index))
        except OSError:
            return False
        return True

    # --- addresses and routes

    def add_address(self, index: int, address: IPv4Address) -> None:
        body = struct.pack("BBBBI", socket.AF_INET, 32, 0, 0, index)
        body += _attribute(IFA_LOCAL, address.packed) + _attribute(IFA_ADDRESS, address.packed)
        self._ask(RTM_NEWADDR, body, CREATE | EXCLUSIVE)

    def add_route(self, index: int, to: IPv4Address) -> None:
        """The way to one address."""
        body = _route(32, scope=LINK_SCOPE) + _attribute(RTA_DST, to.packed)
        self._ask(RTM_NEWROUTE, body + _attribute(RTA_OIF, struct.pack("I", index)), CREATE)

    def add_default_route(self, index: int, by: IPv4Address) -> None:
        """The way to everything, by a neighbour that needs no route of its own."""
        body = _route(0, flags=RTNH_ONLINK) + _attribute(RTA_GATEWAY, by.packed)
        self._ask(RTM_NEWROUTE, body + _attribute(RTA_OIF, struct.pack("I", index)), CREATE)

    def add_address6(self, index: int, address: IPv6Address) -> None:
        link = address.is_link_local
        scope = LINK_SCOPE if link else 0
        body = struct.pack("BBBBI", socket.AF_INET6, 64 if link else 128, IFA_F_NODAD, scope, index)
        self._ask(RTM_NEWADDR, body + _attribute(IFA_ADDRESS, address.packed), CREATE | EXCLUSIVE)

    def add_route6(self, index: int, to: IPv6Network, by: IPv6Address | None = None) -> None:
        """The way to a network; `by` a neighbour, else what is on the link itself."""
        body = _route(to.prefixlen, family=socket.AF_INET6)
        body += _attribute(RTA_DST, to.network_address.packed)
        if by is not None:
            body += _attribute(RTA_GATEWAY, by.packed)
        self._ask(RTM_NEWROUTE, body + _attribute(RTA_OIF, struct.pack("I", index)), CREATE)

    def addresses(self) -> list[IPv4Address]:
        """Those of this namespace's interfaces."""
        found: list[IPv4Address] = []
        for kind, body in self._dump(RTM_GETADDR, struct.pack("BBBBI", socket.AF_INET, 0, 0, 0, 0)):
            if kind == RTM_NEWADDR:
                attributes = dict(_attributes(body[8:]))
                local = attributes.get(IFA_LOCAL) or attributes.get(IFA_ADDRESS)
                if local is not None:
                    found.append(IPv4Address(local))
        return found

    def has_default_route(self) -> bool:
        for kind, body in self._dump(RTM_GETROUTE, _route(0)):
            # length 0 of the main table (254), unicast (1)
            if kind == RTM_NEWROUTE and (body[1], body[4], body[7]) == (0, 254, 1):
                return True
        return False

    # --- the wire

    def events(self) -> Iterator[tuple[int, bytes]]:
        """What happened in the groups of this socket: kinds of messages and their bodies."""
        try:
            data = self._socket.recv(1 << 16, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return
        except OSError:
            yield LOST, b""
            return
        yield from _messages(data)

    def _ask(self, kind: int, body: bytes, flags: int = 0) -> None:
        self._send(kind, REQUEST | ACK | flags, body)
        while True:
            for answer, said in _messages(self._socket.recv(1 << 16)):
                if answer == NLMSG_ERROR:  # of success, too: the last message of an answer
                    error = -struct.unpack_from("i", said)[0]
                    if error:
                        raise OSError(error, os.strerror(error))
                    return

    def _dump(self, kind: int, body: bytes) -> list[tuple[int, bytes]]:
        """All of them, read to the end: what is left would be taken for the next answer."""
        self._send(kind, REQUEST | DUMP, body)
        found: list[tuple[int, bytes]] = []
        while True:
            for answer, said in _messages(self._socket.recv(1 << 16)):
                if answer in (NLMSG_DONE, NLMSG_ERROR):
                    return found
                found.append((answer, said))

    def _send(self, kind: int, flags: int, body: bytes) -> None:
        self._socket.send(struct.pack("IHHII", 16 + len(body), kind, flags, 1, 0) + body)


def own_addresses() -> list[IPv4Address]:
    """Those of the net namespace that this process is in."""
    asking = Netlink()
    try:
        return asking.addresses()
    finally:
        asking.close()


def name_of(body: bytes) -> str:
    """The name of the interface that a message about links is of."""
    return dict(_attributes(body[16:])).get(IFLA_IFNAME, b"").rstrip(b"\0").decode(errors="replace")


def _link(index: int, *, up: bool = True) -> bytes:
    return struct.pack("BxHiII", socket.AF_UNSPEC, 0, index, IFF_UP if up else 0, IFF_UP if up else 0)


def _route(length: int, *, scope: int = 0, flags: int = 0, family: int = socket.AF_INET) -> bytes:
    # family, lengths, service, table (main), protocol (boot), scope, type (unicast), flags
    return struct.pack("BBBBBBBBI", family, length, 0, 0, 254, 3, scope, 1, flags)


def _attribute(kind: int, value: bytes) -> bytes:
    return struct.pack("HH", 4 + len(value), kind) + value + b"\0" * (-len(value) % 4)


def _text(kind: int, value: str) -> bytes:
    return _attribute(kind, value.encode() + b"\0")


def _attributes(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 4:
        length, kind = struct.unpack_from("HH", data)
        if length < 4:
            return
        yield kind & ~NESTED, data[4:length]
        data = data[(length + 3) & ~3 :]


def _messages(data: bytes) -> Iterator[tuple[int, bytes]]:
    while len(data) >= 16:
        length, kind = struct.unpack_from("IH", data)
        yield kind, data[16:length]
        data = data[(length + 3) & ~3 :]
