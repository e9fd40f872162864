"""The networks of a cluster's members: a namespace each, from which they reach each other."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

from .network.network import Addresses, Network
from .sandbox import NetNamespace, SandboxError


@dataclass
class Places:
    """Where members are, by rank. Without namespaces they share this machine's network, with a loopback address each."""

    addresses: list[Addresses]
    namespaces: list[NetNamespace] = field(default_factory=list[NetNamespace])

    def namespace(self, rank: int) -> NetNamespace | None:
        """That of a member; None: it has none of its own."""
        return self.namespaces[rank] if self.namespaces else None

    def environment(self, rank: int) -> dict[str, str]:
        """What libraries for collective operations have to know. They find out wrong by themselves: NCCL takes containers of
        one machine for one host, with memory that they share, and Gloo looks for the host's name."""
        interface = "eth0" if self.namespaces else "lo"
        return {
            "NCCL_HOSTID": self.addresses[rank].ipv4,
            "NCCL_SOCKET_IFNAME": interface,
            "GLOO_SOCKET_IFNAME": interface,
            "TP_SOCKET_IFNAME": interface,
        }


@asynccontextmanager
async def meeting(network: Network, number: int, size: int, *, closed: bool) -> AsyncGenerator[Places]:
    """The places of the members of one cluster; `closed`: they reach nothing else. Raises SandboxError."""
    with ExitStack() as kept:
        namespaces: list[NetNamespace] = []
        gateway: object = None
        for _ in range(size):
            namespace = await network.take()
            if namespace is None:
                break
            kept.callback(namespace.release)
            namespaces.append(namespace)
            gateway = gateway or network.gateway
        if not namespaces:
            if closed:
                raise SandboxError(
                    "block_network=True with @modal.clustered needs networks of the containers' own, which this worker has "
                    f"not: {network.reason}"
                )
            # 127.64.0.1 and up, so that members of two clusters seldom meet on a port
            block = [127, 64 + (number >> 8) % 128, number % 256]
            yield Places([Addresses(".".join(map(str, [*block, rank + 1]))) for rank in range(size)])
            return
        addresses = await network.let_meet(namespaces, closed=closed)
        if len(namespaces) < size or network.gateway is not gateway:
            raise SandboxError("the network of containers was made anew while a cluster started")
        yield Places(addresses, namespaces)
