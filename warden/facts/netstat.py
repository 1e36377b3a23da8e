# SPDX-License-Identifier: BSD-2-Clause
"""What `netstat --libxo json -4rn` prints: the routing table."""

from __future__ import annotations

import json
from ipaddress import AddressValueError, IPv4Address, IPv4Network, NetmaskValueError
from typing import Any

from warden.facts.errors import FactsError
from warden.facts.model import Route


def parse_netstat(text: str) -> tuple[Route, ...]:
    """Give the IPv4 routes in the table's order; raises FactsError for what is no such table."""
    try:
        families: list[dict[str, Any]] = json.loads(text)["statistics"]["route-information"]["route-table"]["rt-family"]
        entries = [
            entry for family in families if family["address-family"] == "Internet" for entry in family["rt-entry"]
        ]
        return tuple(
            Route(
                destination=_destination(entry["destination"], entry["flags"]),
                gateway=None if entry["gateway"].startswith("link#") else _gateway(entry["gateway"]),
                interface=entry["interface-name"],
            )
            for entry in entries
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise FactsError(f"netstat: a routing table that is not understood: {error}") from error


def _destination(word: str, flags: str) -> IPv4Network:
    if word == "default":
        return IPv4Network("0.0.0.0/0")
    if "H" in flags and "/" not in word:
        return IPv4Network(f"{word}/32")
    # netstat leaves out an octet of zero at the end where the mask is the class's own: 127.0/8 and the like
    address, _, prefix = word.partition("/")
    octets = address.split(".")
    full = ".".join(octets + ["0"] * (4 - len(octets)))
    try:
        return IPv4Network(f"{full}/{prefix or 8 * len(octets)}", strict=False)
    except (AddressValueError, NetmaskValueError) as error:
        raise ValueError(f"destination {word!r}") from error


def _gateway(word: str) -> IPv4Address | None:
    try:
        return IPv4Address(word)
    except AddressValueError:
        return None  # a hardware address: the route ends on a link
