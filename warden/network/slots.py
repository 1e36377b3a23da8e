# SPDX-License-Identifier: BSD-2-Clause
"""Address slots: which address of an agent's /24 is whose."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

from warden.network.errors import NetworkError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from ipaddress import IPv4Address, IPv4Network

GATEWAY = "gateway"
SLOTS: Mapping[str, int] = MappingProxyType(
    {GATEWAY: 1, "git": 2, "cms": 3, "ollama": 4, "llama-cpp": 4, "db": 5, "browser": 6}
)
"""The last octet of each service; ollama and llama.cpp are alternatives and have one slot."""

WORKER_SLOTS = range(101, 150)
BROWSER_CLONE_SLOTS = range(150, 200)


def address_of(subnet: IPv4Network, service: str) -> IPv4Address:
    """Give the address that `service` has in `subnet` unless the operator says otherwise.

    Raises NetworkError for a service that has no slot.
    """
    if service not in SLOTS:
        raise NetworkError(f"service {service!r} has no address slot", hint=f"services are {', '.join(SLOTS)}")
    return subnet[SLOTS[service]]


def gateway_of(subnet: IPv4Network) -> IPv4Address:
    """Give the address of `subnet` that the host itself has on the bridge."""
    return address_of(subnet, GATEWAY)


def check_addresses(subnet: IPv4Network, gateway: IPv4Address, addresses: Mapping[str, IPv4Address]) -> None:
    """Raise NetworkError unless the gateway and each service's address can stand in `subnet` beside the others.

    Each must be inside it, neither its network nor its broadcast address, and no two may be alike.
    """
    owners: dict[IPv4Address, str] = {}
    for owner, address in ((GATEWAY, gateway), *addresses.items()):
        if address not in subnet:
            raise NetworkError(
                f"address {address} of {owner} is outside the subnet {subnet}",
                hint=f"write an address from {subnet[1]} to {subnet[-2]}{_default(subnet, owner)}",
            )
        if address in (subnet.network_address, subnet.broadcast_address):
            kind = "network" if address == subnet.network_address else "broadcast"
            raise NetworkError(
                f"address {address} of {owner} is the {kind} address of {subnet}",
                hint=f"write an address from {subnet[1]} to {subnet[-2]}{_default(subnet, owner)}",
            )
        if address in owners:
            raise NetworkError(
                f"{owners[address]} and {owner} have the same address {address}",
                hint="write another address for one of them",
            )
        owners[address] = owner


def _default(subnet: IPv4Network, owner: str) -> str:
    return f"; {owner} has {address_of(subnet, owner)} by default" if owner in SLOTS else ""
