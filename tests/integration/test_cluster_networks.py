"""Networks of clusters: their members reach each other, and nobody else reaches them."""

from __future__ import annotations

import socket
import textwrap
from collections.abc import AsyncGenerator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.integration.test_network import REFUSED, asked, listening, networks, way_out, world
from tests.integration.test_sandbox import World, run

from ionian.worker.network.network import Addresses, Network, why_not
from ionian.worker.sandbox import NetNamespace

__all__ = ["world"]

pytestmark = [
    pytest.mark.timeout(120),
    pytest.mark.container,
    pytest.mark.skipif(bool(why_not()), reason=f"no networks of their own here: {why_not()}"),
]

SIX = Path("/proc/sys/net/ipv6").exists()

LISTENS = """
    import json, socket, sys, threading
    six = socket.has_dualstack_ipv6()
    family, everywhere = (socket.AF_INET6, "::") if six else (socket.AF_INET, "")
    listener = socket.create_server((everywhere, 80), family=family, dualstack_ipv6=six)
    datagrams = socket.socket(family, socket.SOCK_DGRAM)
    if six:
        datagrams.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
    datagrams.bind((everywhere, 80))
    def echo():
        while True:
            said, sender = datagrams.recvfrom(100)
            datagrams.sendto(said, sender)
    threading.Thread(target=echo, daemon=True).start()
    print("listens", flush=True)
    while True:
        listener.accept()[0].close()
"""

SAYS = """
    def said(host):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.settimeout(20)
            try:
                asking.connect((host, 80))
                asking.send(b"?")
                return asking.recv(100).decode()
            except OSError as error:
                return errno.errorcode.get(error.errno, str(error))
"""


@asynccontextmanager
async def taken(network: Network, count: int) -> AsyncGenerator[list[NetNamespace]]:
    namespaces: list[NetNamespace] = []
    try:
        for _ in range(count):
            namespace = await network.take()
            assert namespace is not None
            namespaces.append(namespace)
        yield namespaces
    finally:
        for namespace in namespaces:
            namespace.release()


@asynccontextmanager
async def member(world: World, namespace: NetNamespace) -> AsyncGenerator[None]:
    async with listening(world, LISTENS, namespace=namespace) as (_, said):
        assert said == "listens"
        yield


@asynccontextmanager
async def cluster(
    world: World, network: Network, size: int = 2, *, closed: bool = False
) -> AsyncGenerator[tuple[list[NetNamespace], list[Addresses]]]:
    """A cluster of which each member listens on port 80."""
    async with taken(network, size) as namespaces, AsyncExitStack() as boxes:
        addresses = await network.let_meet(namespaces, closed=closed)
        for namespace in namespaces:
            await boxes.enter_async_context(member(world, namespace))
        yield namespaces, addresses


def places(addresses: Sequence[Addresses]) -> list[str]:
    return [place for one in addresses for place in (one.ipv4, one.ipv6) if place]


async def tried(world: World, hosts: Sequence[str], namespace: NetNamespace | None = None) -> list[Any]:
    """What a sandbox has of each host, by TCP and by UDP."""
    code = f"print(json.dumps([[tried(host, 80), said(host)] for host in {list(hosts)!r}]))"
    return await asked(world, textwrap.dedent(SAYS) + code, namespace=namespace)


def test_members_reach_each_other_by_both_families_on_ports_of_their_own(world: World):
    async def main() -> None:
        async with networks(world) as network, cluster(world, network, 3) as (namespaces, addresses):
            assert len(set(places(addresses))) == (6 if SIX else 3)
            for namespace in namespaces:
                said = await tried(world, places(addresses), namespace)
                assert said == [["connected", "?"]] * len(places(addresses))

    run(main)


def test_no_other_container_and_no_other_cluster_reaches_a_member(world: World):
    async def main() -> None:
        async with (
            networks(world) as network,
            cluster(world, network) as (_, ours),
            cluster(world, network) as (others, theirs),
        ):
            for stranger in (None, others[0]):
                for tcp, udp in await tried(world, places(ours), stranger):
                    assert tcp in REFUSED, (tcp, udp)
                    assert udp != "?", (tcp, udp)
            assert set(places(ours)).isdisjoint(places(theirs))

    run(main)


def test_who_has_the_address_of_a_member_that_has_ended_is_a_stranger(world: World):
    async def holder_of(address: str, network: Network, stack: AsyncExitStack) -> NetNamespace:
        """The next container with that address: numbers are used again once who had one is gone."""
        while True:
            async with AsyncExitStack() as kept:
                (later,) = await kept.enter_async_context(taken(network, 1))
                (has,) = await network.let_meet([later], closed=False)
                if has.ipv4 == address:
                    await stack.enter_async_context(kept.pop_all())
                    return later

    async def main() -> None:
        async with networks(world) as network, taken(network, 1) as (stays,), AsyncExitStack() as stack:
            async with taken(network, 1) as (goes,):
                first, second = await network.let_meet([goes, stays], closed=False)
            await stack.enter_async_context(member(world, stays))
            later = await holder_of(first.ipv4, network, stack)
            await stack.enter_async_context(member(world, later))
            for here, there in ((stays, first), (later, second)):
                for tcp, udp in await tried(world, places([there]), here):
                    assert tcp in REFUSED, (tcp, udp)
                    assert udp != "?", (tcp, udp)

    run(main)


def test_a_closed_cluster_reaches_its_members_and_not_the_world(world: World):
    name, port = way_out()
    host = socket.gethostbyname(name)

    async def main() -> None:
        async with (
            networks(world) as network,
            cluster(world, network, closed=True) as (
                namespaces,
                addresses,
            ),
        ):
            assert await tried(world, places(addresses), namespaces[0]) == [["connected", "?"]] * len(
                places(addresses)
            )
            code = f"print(json.dumps(tried({host!r}, {port})))"
            assert await asked(world, code, namespace=namespaces[0]) in REFUSED
            assert await asked(world, code) == "connected"

    run(main)
