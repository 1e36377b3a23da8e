# SPDX-License-Identifier: BSD-2-Clause
"""What pfctl(8) prints of its status, rules and tables."""

from __future__ import annotations

from ipaddress import AddressValueError, IPv4Network, NetmaskValueError

from warden.facts.errors import FactsError


def parse_status(text: str) -> bool:
    """Tell from `pfctl -s info` whether pf is enabled; raises FactsError where it says neither."""
    for line in text.splitlines():
        if line.startswith("Status: "):
            return line.startswith("Status: Enabled")
    raise FactsError(f"pfctl -s info: no status in {text[:80]!r}")


def parse_rules(text: str) -> tuple[str, ...]:
    """Give the lines of `pfctl -sr` or `-sn`."""
    return tuple(line.strip() for line in text.splitlines() if line.strip())


def parse_table(text: str) -> tuple[IPv4Network, ...]:
    """Give the networks of `pfctl -T show`, in its order; raises FactsError for an entry that is none."""
    networks = []
    for line in text.split():
        try:
            networks.append(IPv4Network(line))
        except (AddressValueError, NetmaskValueError, ValueError) as error:
            raise FactsError(f"pfctl -T show: an entry that is not understood: {line!r}") from error
    return tuple(networks)
