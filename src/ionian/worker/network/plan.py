"""What the gateway is made of, decided without touching anything: its addresses, its rules, its resolver."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network

CANDIDATES = ("10.213.0.0/16", "172.29.0.0/16", "10.87.0.0/16", "172.23.0.0/16", "192.168.208.0/20")
"""Networks that containers may be in. Nobody outside a worker's gateway ever sees it, so all workers of a machine use
the same one; it hides a network of that range from containers, so it is one that this machine has no way to."""

TO_CONTAINERS, TO_WORLD = "c", "world"
"""Interfaces of the gateway: one a container (`c` and its number), and the one that pasta makes."""

OF_CLUSTERS = IPv6Network("fd69:6f6e:6961:6e::/64")
"""Where members of clusters have an IPv6 address each; no other container has one, and it leads nowhere else."""

NEIGHBOUR = IPv6Address("fe80::1")
"""The gateway's end of each member's link."""

REFUSED = (
    "0.0.0.0/8",
    "127.0.0.0/8",
    "169.254.0.0/16",  # metadata of most clouds: the machine's own credentials
    "100.100.100.200",  # of Alibaba's
    "192.0.0.192",  # of Oracle's
    "224.0.0.0/4",
    "240.0.0.0/4",
)
"""What no container reaches, besides this machine's own addresses and other containers."""

RULES = """
table inet ionian {{
    set machine {{ type ipv4_addr; }}
    set refused {{ type ipv4_addr; flags interval; elements = {{ {refused} }}; }}
    set peers {{ type ifname . ifname; }}
    set closed {{ type ifname; }}
    chain forward {{
        type filter hook forward priority filter; policy drop;
        iifname "{containers}*" oifname "{containers}*" goto between
        meta nfproto ipv6 goto refuse
        iifname @closed goto refuse
        ct state established,related accept
        ip daddr @machine goto refuse
        ip daddr @refused goto refuse
        ip daddr 168.63.129.16 th dport != 53 goto refuse
        iifname "{containers}*" oifname "{world}" accept
        goto refuse
    }}
    chain between {{
        iifname . oifname @peers accept
        goto refuse
    }}
    chain input {{
        type filter hook input priority filter; policy drop;
        iifname "lo" accept
        ct state established,related accept
        icmp type echo-request accept
        icmpv6 type {{ nd-neighbor-solicit, nd-neighbor-advert }} accept
        iifname "{containers}*" goto refuse
    }}
    chain refuse {{
        meta l4proto tcp reject with tcp reset
        reject with icmpx type admin-prohibited
    }}
    chain leaving {{
        type nat hook postrouting priority srcnat; policy accept;
        oifname "{world}" masquerade
    }}
}}
"""
"""168.63.129.16 is Azure's resolver, and hands out keys at its other ports. Between containers a connection that was let through once
counts for nothing: the address at its other end may be another's by now."""


class Plan:
    """The addresses of a gateway and its containers in one network."""

    def __init__(self, network: str, *, forwards: bool) -> None:
        self.network = IPv4Network(network)
        self.forwards = forwards  # whether containers ask for names by way of pasta
        ends = list(self.network.subnets(new_prefix=29))[-1]  # the last eight are between gateway and pasta
        self.world, self.own, self.resolver = ends[1], ends[2], ends[3]
        self.gateway = self.network[1]
        self.first = 10
        self.count = self.network.num_addresses - 8 - self.first

    def address(self, number: int) -> IPv4Address:
        """The address of a container."""
        return self.network[self.first + number]

    def address6(self, number: int) -> IPv6Address:
        """The other address of a container that is one of a cluster."""
        return OF_CLUSTERS[self.first + number]

    def rules(self) -> str:
        """For `nft -f`."""
        return RULES.format(
            refused=", ".join(REFUSED),
            containers=TO_CONTAINERS,
            world=TO_WORLD,
        )

    def pasta(self, namespace: str) -> list[str]:
        """The command that joins a net namespace to the machine's network: outwards only."""
        ways = ["-t", "none", "-u", "none", "-T", "none", "-U", "none", "--no-map-gw"]
        quiet = ["--no-dhcp", "--no-dhcpv6", "--no-ra", "--no-ndp", "--ipv4-only", "--quiet"]
        ends = ["--address", str(self.own), "--netmask", "29", "--gateway", str(self.world)]
        names = ["--ns-ifname", TO_WORLD]
        if self.forwards:  # only then: pasta would hide the resolver's own address
            names += ["--dns-forward", str(self.resolver)]
        target = ["--netns-only", "--netns", namespace]
        return ["pasta", "--foreground", "--config-net", *ways, *quiet, *ends, *names, *target]


def machine_set(addresses: Iterable[IPv4Address]) -> str:
    """For `nft -f`: the machine's addresses, in place of those that it had."""
    text = "flush set inet ionian machine\n"
    elements = ", ".join(sorted({str(a) for a in addresses if not a.is_loopback}))
    return text + (f"add element inet ionian machine {{ {elements} }}\n" if elements else "")


def pair_elements(pairs: Iterable[tuple[int, int]]) -> str:
    """For a command of nft: which containers reach which, by their numbers."""
    words = (f'"{TO_CONTAINERS}{one}" . "{TO_CONTAINERS}{other}"' for one, other in pairs)
    return f"element inet ionian peers {{ {', '.join(words)} }}\n"


def closed_elements(numbers: Iterable[int]) -> str:
    """The same for those that reach nothing else."""
    words = (f'"{TO_CONTAINERS}{number}"' for number in numbers)
    return f"element inet ionian closed {{ {', '.join(words)} }}\n"


def choose_network(routes: Iterable[IPv4Network]) -> str:
    """The first candidate that this machine has no route into."""
    taken = [route for route in routes if route.prefixlen]
    for candidate in CANDIDATES:
        if not any(IPv4Network(candidate).overlaps(route) for route in taken):
            return candidate
    return CANDIDATES[0]


def resolvers(of_machine: str, machine: Collection[IPv4Address]) -> list[str]:
    """The name servers of the machine's /etc/resolv.conf that containers can reach. None for 127.0.0.53 and its like, and
    for those of a cloud's metadata address: pasta asks them then."""
    refused = [IPv4Network(network) for network in REFUSED]
    found: list[str] = []
    for word in re.findall(r"^\s*nameserver\s+(\S+)", of_machine, re.MULTILINE):
        try:
            address = IPv4Address(word)
        except ValueError:
            continue  # IPv6, which containers don't have
        if address not in machine and not any(address in network for network in refused):
            found.append(word)
    return found


def resolv_conf(of_machine: str, servers: Iterable[str]) -> str:
    """The machine's /etc/resolv.conf with other name servers."""
    others = [line for line in of_machine.splitlines() if not re.match(r"\s*nameserver\b", line)]
    return "\n".join([*(f"nameserver {server}" for server in servers), *others]) + "\n"


def read_routes(text: str) -> list[IPv4Network]:
    """The routes of a /proc/net/route."""
    found: list[IPv4Network] = []
    for line in text.splitlines()[1:]:
        words = line.split()
        if len(words) > 7:
            network, mask = (int.from_bytes(bytes.fromhex(w), "little") for w in (words[1], words[7]))
            found.append(IPv4Network((network & mask, mask.bit_count())))
    return found
