# SPDX-License-Identifier: BSD-2-Clause
"""What pf.conf's names of hosts and interfaces stand for on this machine, when rules are read."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from warden.host.fake.filesystem import FileError
from warden.host.fake.pf_rules import Address

if TYPE_CHECKING:
    from warden.host.fake.machine import Interface, NetStack
    from warden.host.fake.program import Call

MODIFIERS = ("network", "broadcast", "peer", "0")
LOOPBACK = (("::1", 128), ("fe80::1", 64))
"""The IPv6 addresses that a loopback interface has by itself."""


class HostError(Exception):
    """A host specification means nothing here; `lines` is what pfctl says of it."""

    def __init__(self, *lines: str) -> None:
        super().__init__(*lines)
        self.lines = lines


@dataclass(slots=True)
class Surroundings:
    """What the meaning of a ruleset depends on: interfaces, files, and the input that `-` stands for."""

    interfaces: dict[str, Interface] = field(default_factory=dict)
    call: Call | None = None

    def read(self, name: str) -> str:
        """Give a file's text, standard input for '-'; raise FileError where there is none."""
        if self.call is None:
            raise FileError(name, "No such file or directory")
        if name == "-":
            return self.call.stdin.decode("utf-8", "surrogateescape")
        return self.call.files.text(self.call.path(name), root=self.call.root)

    def is_group(self, name: str) -> bool:
        """Tell whether a name is that of an interface group that has members."""
        return any(name in interface.groups for interface in self.interfaces.values())

    def is_loopback(self, name: str) -> bool:
        """Tell whether an interface is a loopback one."""
        interface = self.interfaces.get(name)
        return interface is not None and interface.kind == "loop"

    def members(self, name: str) -> list[Interface] | None:
        """Give the interfaces that a name stands for: a group's, one, all for `self`; None for an unknown name."""
        if self.is_group(name):
            return [interface for interface in self.interfaces.values() if name in interface.groups]
        if name in self.interfaces:
            return [self.interfaces[name]]
        return list(self.interfaces.values()) if name == "self" else None

    def addresses(self, name: str, modifier: str = "", *, first: bool = False) -> list[Address] | None:
        """Give the addresses of an interface or a group, `first` leaves out aliases; None for an unknown name."""
        members = self.members(name)
        if members is None:
            return None
        return [found for member in members for found in _addresses(member, modifier, first=first)]

    def known_hosts(self, name: str) -> list[str]:
        """Give the addresses that /etc/hosts has for a name: the machine asks no name server."""
        try:
            text = self.read("/etc/hosts")
        except FileError:
            return []
        lines = (line.partition("#")[0].split() for line in text.splitlines())
        return [words[0] for words in lines if name in words[1:]]


def surroundings(call: Call, net: NetStack) -> Surroundings:
    """Give the surroundings of a call."""
    return Surroundings(net.interfaces, call)


def _addresses(interface: Interface, modifier: str, *, first: bool) -> list[Address]:
    found: list[Address] = []
    if interface.kind == "loop" and modifier in {"", "network"}:
        for text, prefix in LOOPBACK:
            scoped = text.startswith("fe80")
            # A link-local address has no network of its own to filter by, and is never the first.
            if not (scoped and (modifier or first)):
                bits = prefix if modifier == "network" else 128
                found.append(Address("net", network(text, bits), 6, scope=interface.name if scoped else ""))
    for inet in interface.inet[:1] if first else interface.inet:
        if modifier == "network":
            found.append(Address("net", network(inet.address, inet.prefix), 4))
        elif modifier == "broadcast" and interface.kind != "loop":
            whole = ipaddress.ip_interface(f"{inet.address}/{inet.prefix}").network
            found.append(Address("net", str(whole.broadcast_address), 4))
        elif not modifier:
            found.append(Address("net", inet.address, 4))
    return found


@lru_cache(maxsize=8192)
def network(address: str, bits: int) -> str:
    """Give the text of an address or network: host bits cleared, the length left out when it is a single address."""
    whole = ipaddress.ip_network(f"{address}/{bits}", strict=False)
    return str(whole.network_address) if bits == whole.max_prefixlen else str(whole)


@lru_cache(maxsize=8192)
def parse_network(text: str) -> ipaddress.IPv4Network | ipaddress.IPv6Network:
    """Give the network that `network` gave the text of."""
    return ipaddress.ip_network(text)


def host(where: Surroundings, text: str) -> list[Address]:
    """Give the addresses that a host specification stands for; raise HostError when there are none."""
    name, slash, length = text.rpartition("/")
    name = name if slash else text
    if slash and not (length.isascii() and length.isdigit() and int(length) <= 128):
        raise HostError(f"invalid netmask '/{length}'")
    bits = int(length) if slash else None
    found = _interface_host(where, name, bits)
    if not found:
        numeric = _numeric(name, bits)
        found = [numeric] if numeric else []
    if not found:
        numbers = [_numeric(address, bits) for address in where.known_hosts(name)]
        found = [address for address in numbers if address is not None]
    if not found:
        raise HostError(f"no IP address found for {text}")
    return found


def _interface_host(where: Surroundings, name: str, bits: int | None) -> list[Address]:
    base, *modifiers = name.split(":")
    if any(modifier not in MODIFIERS for modifier in modifiers):
        return []
    modes = sorted({modifier for modifier in modifiers if modifier != "0"})
    if len(modes) > 1:
        raise HostError("illegal combination of interface modifiers", f"no IP address found for {name}")
    if bits is not None and modes and modes[0] in {"network", "broadcast"}:
        raise HostError(
            "network or broadcast lookup, but extra netmask given", f"no IP address found for {name}/{bits}"
        )
    found = where.addresses(base, modes[0] if modes else "", first="0" in modifiers) or []
    if bits is None:
        return found
    return [replace(address, text=network(address.text.partition("/")[0], bits)) for address in found]


def _numeric(name: str, bits: int | None) -> Address | None:
    try:
        if ":" in name:
            return Address("net", network(name, 128 if bits is None else bits), 6)
        if bits is not None and bits <= 32:
            # 10/8 is short for 10.0.0.0/8
            name = ".".join([*name.split("."), "0", "0", "0"][:4])
        return Address("net", network(name, 32 if bits is None else bits), 4)
    except ValueError:
        return None


def table_entry(address: Address) -> str:
    """Give the text by which a table holds an address: `!` in front of a negated one."""
    return f"!{address.text}" if address.negated else address.text


def table_words(text: str) -> list[str]:
    """Give the addresses that a table's file names, one a word; `#` and `;` begin a comment."""
    words: list[str] = []
    for line in text.splitlines():
        for word in line.split():
            if word[0] in "#;":
                break
            words.append(word)
    return words


def table_hosts(where: Surroundings, word: str) -> list[Address]:
    """Give the addresses of one word of a table's file or command line; an odd number of `!` negates them."""
    name = word.lstrip("!")
    negated = (len(word) - len(name)) % 2 == 1
    return [replace(address, negated=negated) for address in host(where, name)]
