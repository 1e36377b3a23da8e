# SPDX-License-Identifier: BSD-2-Clause
"""What `ifconfig -f inet:cidr` prints: blocks of a head line and indented lines, told apart by their first word."""

from __future__ import annotations

import re
from dataclasses import replace
from ipaddress import AddressValueError, IPv4Interface, NetmaskValueError

from warden.facts.errors import FactsError
from warden.facts.model import Interface

_HEAD = re.compile(r"^([A-Za-z0-9_.:-]+): flags=[0-9a-f]+<([A-Z0-9_,]*)>")


def parse_ifconfig(text: str) -> dict[str, Interface]:
    """Give the interfaces by name, in ifconfig's order; raises FactsError for a line that fits nowhere."""
    interfaces: dict[str, Interface] = {}
    current: Interface | None = None
    for line in text.split("\n"):
        head = _HEAD.match(line)
        if head:
            current = Interface(name=head[1], up="UP" in head[2].split(","))
        elif current is not None and line[:1] in ("\t", " "):
            current = _with_line(current, line.strip())
        elif line:
            raise FactsError(f"ifconfig: a line that is not understood: {line!r}")
        if current is not None:
            interfaces[current.name] = current
    return interfaces


def _with_line(interface: Interface, line: str) -> Interface:
    word, _, rest = line.partition(" ")
    if word == "inet":
        return replace(interface, addresses=(*interface.addresses, _address(line)))
    if word == "groups:":
        return replace(interface, groups=frozenset(rest.split()))
    if word == "member:":
        return replace(interface, members=interface.members | {rest.split()[0]})
    if word == "ether":
        return replace(interface, ether=rest.split()[0])
    return interface


def _address(line: str) -> IPv4Interface:
    words = line.split()
    try:
        if "netmask" in words:
            mask = words[words.index("netmask") + 1]
            prefix = str(int(mask, 16).bit_count()) if mask.startswith("0x") else mask
            return IPv4Interface(f"{words[1]}/{prefix}")
        return IPv4Interface(words[1])
    except (AddressValueError, NetmaskValueError, ValueError, IndexError) as error:
        raise FactsError(f"ifconfig: an address that is not understood: {line!r}") from error
