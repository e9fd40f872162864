"""Which containers reach each other: those of one cluster, and no others."""

from __future__ import annotations

import sys
from collections.abc import Collection, Sequence
from contextlib import closing
from ipaddress import IPv6Network

from .kernel import CannotConnect, nft, put
from .netlink import Netlink
from .plan import NEIGHBOUR, OF_CLUSTERS, TO_CONTAINERS, Plan, closed_elements, pair_elements


class Peers:
    """The pairs that the gateway's rules let through, and the IPv6 addresses that only such containers have.

    A number is used again for another container when its own has ended: its pairs go before that.
    """

    def __init__(self, plan: Plan, links: Netlink) -> None:
        self._plan = plan
        self._links = links  # of the gateway's namespace
        self._of: dict[int, set[int]] = {}
        self._closed: set[int] = set()

    def furnish(self, index: int, number: int) -> None:
        """Gives the namespace that this process is in its IPv6 address, and the way to the others."""
        _switch_on("eth0")
        with closing(Netlink()) as inside:
            inside.add_address6(index, self._plan.address6(number))
            inside.add_route6(index, OF_CLUSTERS, NEIGHBOUR)

    def lead_to(self, index: int, number: int) -> None:
        """The way from the gateway's namespace, which this process is in, to that address."""
        _switch_on(f"{TO_CONTAINERS}{number}")
        self._links.add_address6(index, NEIGHBOUR)
        self._links.add_route6(index, IPv6Network(self._plan.address6(number)))

    def add(self, numbers: Sequence[int], *, closed: bool) -> None:
        """These reach each other; `closed`: and nothing else. Raises CannotConnect."""
        pairs = [(one, other) for one in numbers for other in numbers if one != other]
        rules = f"add {pair_elements(pairs)}" if pairs else ""
        if closed:
            rules += f"add {closed_elements(numbers)}"
        if rules:
            nft(rules)
        for one, other in pairs:
            self._of.setdefault(one, set()).add(other)
        if closed:
            self._closed.update(numbers)

    def forget(self, numbers: Collection[int]) -> bool:
        """These have ended; False where the rules could not be changed, so that the numbers are nobody else's yet."""
        pairs = {(one, other) for one in numbers for other in self._of.get(one, ())}
        pairs |= {(other, one) for one, other in pairs}
        closed = self._closed.intersection(numbers)
        rules = f"delete {pair_elements(sorted(pairs))}" if pairs else ""
        if closed:
            rules += f"delete {closed_elements(sorted(closed))}"
        try:
            if rules:
                nft(rules)
        except CannotConnect as error:
            print(f"ionian network: {error}", file=sys.stderr)
            return False
        for one, other in pairs:
            self._of[one].discard(other)
        for number in numbers:
            self._of.pop(number, None)
        self._closed -= closed
        return True


def _switch_on(interface: str) -> None:
    put(f"net/ipv6/conf/{interface}/accept_dad", "0")
    put(f"net/ipv6/conf/{interface}/accept_ra", "0")
    put(f"net/ipv6/conf/{interface}/disable_ipv6", "0")
