"""The gateway's plan: addresses, rules, resolvers."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv4Network

import pytest

from ionian.worker.network.plan import (
    CANDIDATES,
    Plan,
    choose_network,
    machine_set,
    read_routes,
    resolv_conf,
    resolvers,
)

ROUTES = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t010200C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
eth0\t000200C0\t00000000\t0001\t0\t0\t0\t00FFFFFF\t0\t0\t0
vpn0\t0000D50A\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def test_routes_are_read_as_the_kernel_writes_them() -> None:
    assert [str(route) for route in read_routes(ROUTES)] == ["0.0.0.0/0", "192.0.2.0/24", "10.213.0.0/16"]


def test_the_network_of_containers_is_one_that_the_machine_has_no_way_to() -> None:
    assert choose_network([]) == CANDIDATES[0]
    assert choose_network(read_routes(ROUTES)) == CANDIDATES[1]
    assert choose_network([IPv4Network("10.0.0.0/8")]) == "172.29.0.0/16"


@pytest.mark.parametrize("network", CANDIDATES)
def test_no_two_of_a_plans_addresses_are_the_same(network: str) -> None:
    plan = Plan(network, forwards=True)
    containers = [plan.address(0), plan.address(plan.count - 1)]
    others = [plan.gateway, plan.own, plan.world, plan.resolver]
    assert len({*containers, *others}) == 6
    assert all(address in plan.network for address in (*containers, *others))
    assert containers[1] < min(plan.own, plan.world, plan.resolver)


def test_the_set_of_the_machines_addresses_is_replaced_as_one() -> None:
    addresses = [IPv4Address("192.0.2.2"), IPv4Address("127.0.0.1"), IPv4Address("192.0.2.2")]
    assert machine_set(addresses) == (
        "flush set inet ionian machine\nadd element inet ionian machine { 192.0.2.2 }\n"
    )
    assert machine_set([]) == "flush set inet ionian machine\n"


@pytest.mark.parametrize(
    ("servers", "reached"),
    [
        (["192.0.2.53", "198.51.100.1"], ["192.0.2.53", "198.51.100.1"]),
        (["127.0.0.53"], []),  # systemd-resolved
        (["169.254.169.254"], []),  # Google's machines
        (["192.0.2.2"], []),  # this machine's own address
        (["fd00::53", "127.0.0.1", "192.0.2.53"], ["192.0.2.53"]),
    ],
)
def test_name_servers_that_containers_can_not_reach_are_left_out(
    servers: list[str], reached: list[str]
) -> None:
    text = "".join(f"nameserver {server}\n" for server in servers)
    assert resolvers(text, [IPv4Address("192.0.2.2")]) == reached


def test_containers_keep_the_search_list_and_options_of_the_machine() -> None:
    text = "# by hand\nsearch lan\nnameserver 127.0.0.53\noptions edns0\n"
    assert resolv_conf(text, ["10.213.255.251"]) == (
        "nameserver 10.213.255.251\n# by hand\nsearch lan\noptions edns0\n"
    )


def test_pasta_asks_for_names_only_where_containers_can_not() -> None:
    assert "--dns-forward" in Plan(CANDIDATES[0], forwards=True).pasta("/n")
    assert "--dns-forward" not in Plan(CANDIDATES[0], forwards=False).pasta("/n")
