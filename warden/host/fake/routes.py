# SPDX-License-Identifier: BSD-2-Clause
"""A stack's routing table, worked out from its interfaces, their addresses and the static routes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Interface, IPv4Network
from typing import TYPE_CHECKING

from warden.host.fake.network import LOOPBACK_MTU, in_order

if TYPE_CHECKING:
    from warden.host.fake.machine import NetStack

EVERYWHERE = IPv4Network("0.0.0.0/0")


@dataclass(frozen=True, slots=True)
class Route:
    """A route as netstat shows it; `hop` numbers its next hop."""

    network: IPv4Network
    gateway: str
    flags: str
    interface: str
    mtu: int
    hop: int
    via: str = ""
    """The router's address, '' for what is on the wire or the machine's own."""

    @property
    def destination(self) -> str:
        """The destination as route(8) and netstat(1) write it."""
        if self.network == EVERYWHERE:
            return "default"
        return str(self.network.network_address) if "H" in self.flags else str(self.network)


@dataclass(frozen=True, slots=True)
class _Link:
    """What of an interface makes routes: one with the same of all interfaces has the same table."""

    name: str
    kind: str
    index: int
    mtu: int
    addresses: tuple[tuple[str, int], ...]


def table(stack: NetStack) -> list[Route]:
    """Give the IPv4 routes, in the order in which netstat prints them."""
    static = dict(stack.routes)
    if stack.default_router:
        static[str(EVERYWHERE)] = stack.default_router
    links = tuple(
        _Link(one.name, one.kind, one.index, one.mtu, tuple((inet.address, inet.prefix) for inet in one.inet))
        for one in in_order(stack)
        if one.up or one.kind == "loop"
    )
    down = tuple(one.name for one in in_order(stack) if not one.up)
    return list(_table(links, down, tuple(static.items())))


@lru_cache(maxsize=32)
def _table(links: tuple[_Link, ...], down: tuple[str, ...], static: tuple[tuple[str, str], ...]) -> tuple[Route, ...]:
    loopback = next((one for one in links if one.kind == "loop"), None)
    routes: dict[IPv4Network, Route] = {}
    for link in sorted(links, key=lambda one: one is not loopback):
        if link.name not in down:
            for address, prefix in link.addresses:
                _add_own(routes, link, IPv4Interface(f"{address}/{prefix}"), loopback)
    for destination, gateway in static:
        through = lookup(list(routes.values()), IPv4Address(gateway))
        if through is not None:
            network = IPv4Network(destination)
            flags = "UGHS" if network.prefixlen == 32 else "UGS"
            route = Route(network, gateway, flags, through.interface, through.mtu, len(routes) + 1, via=gateway)
            routes.setdefault(network, route)
    # of two with the same address the narrower comes first
    order = sorted(routes.values(), key=lambda route: (int(route.network.network_address), -route.network.prefixlen))
    return tuple(order)


def lookup(routes: list[Route], address: IPv4Address) -> Route | None:
    """Find the route that a packet to an address takes: the narrowest that matches."""
    matching = [route for route in routes if address in route.network]
    return max(matching, key=lambda route: route.network.prefixlen, default=None)


def _add_own(
    routes: dict[IPv4Network, Route], interface: _Link, address: IPv4Interface, loopback: _Link | None
) -> None:
    """Add the routes that an address brings: to its network, and to itself by the loopback interface."""
    own = IPv4Network(address.ip)
    if interface.kind == "loop":
        link = f"link#{interface.index}"
        routes.setdefault(own, Route(own, link, "UH", interface.name, interface.mtu, len(routes) + 1))
        return
    network = address.network
    if network != own:
        link = f"link#{interface.index}"
        routes.setdefault(network, Route(network, link, "U", interface.name, interface.mtu, len(routes) + 1))
    if loopback is not None:
        link = f"link#{loopback.index}"
        routes.setdefault(own, Route(own, link, "UHS", loopback.name, LOOPBACK_MTU, len(routes) + 1))
