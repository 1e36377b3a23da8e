# SPDX-License-Identifier: BSD-2-Clause
"""The `ether` lines of pf.conf(5): rules for Ethernet frames (session 14)."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING

from warden.host.fake.pf_clauses import FromTo, direction, from_to, interfaces, tagged
from warden.host.fake.pf_lexer import NUMBER, STRING
from warden.host.fake.pf_rules import ANY, EtherRule
from warden.host.fake.program import UnsupportedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.pf_reader import Reader

ETHER_TYPES = {0: 0, 4: 0x0800, 6: 0x86DD}
_MAC = re.compile(r"[0-9A-Fa-f]{1,2}(?::[0-9A-Fa-f]{1,2}){5}\Z")


def ether_rules(read: Reader, begin: Callable[[], None]) -> list[EtherRule]:
    """Take an `ether` line; `begin` is called when all of it has been read."""
    read.expect("ether")
    if read.at("anchor"):
        raise UnsupportedError("pf.conf: ether anchor")
    action = read.expect("pass", "block")
    if action == "block" and read.at("drop", "return"):
        read.take()
    where = direction(read)
    quick = read.accept("quick")
    on = interfaces(read)
    types = _types(read)
    sources, destinations = _addresses(read)
    ends = from_to(read) if read.accept("l3") else FromTo()
    if any(address.kind not in {"net", "table"} for address in ends.sources):
        read.refuse("from must be an address or table")
    if any(address.kind not in {"net", "table"} for address in ends.destinations):
        read.refuse("to must be an address or table")
    tag = read.string() if read.accept("tag") else ""
    mark, mark_not = tagged(read)
    begin()
    combinations = product(
        on or [("", False)],
        types or [0],
        sources or [""],
        destinations or [""],
        ends.sources or [ANY],
        ends.destinations or [ANY],
    )
    return [
        EtherRule(
            action,
            direction=where,
            quick=quick,
            interface=interface[0],
            interface_not=interface[1],
            protocol=kind or ETHER_TYPES[ip_source.family or ip_destination.family],
            source=source,
            destination=destination,
            ip_source=ip_source,
            ip_destination=ip_destination,
            tag=tag,
            tagged=mark,
            tagged_not=mark_not,
        )
        for interface, kind, source, destination, ip_source, ip_destination in combinations
    ]


def _types(read: Reader) -> list[int]:
    if not read.accept("proto"):
        return []

    def item() -> list[int]:
        numeric = read.at(NUMBER)
        word = read.expect(STRING, NUMBER)
        if not numeric and not word.startswith("0x"):
            read.refuse("Symbolic EtherType not yet supported")
        try:
            number = int(word) if numeric else int(word, 16)
        except ValueError:
            read.refuse("invalid EtherType hex")
        if not 0 <= number <= 65565:
            read.refuse("protocol outside range")
        if number == 0:
            read.refuse("proto 0 cannot be used")
        return [number]

    return read.one_or_braced(item)


def _addresses(read: Reader) -> tuple[list[str], list[str]]:
    if read.accept("all"):
        return [], []
    sources = read.one_or_braced(lambda: [_mac(read)]) if read.accept("from") else []
    return sources, read.one_or_braced(lambda: [_mac(read)]) if read.accept("to") else []


def _mac(read: Reader) -> str:
    negated = read.accept("!")
    text = read.string()
    if read.at("/") or "&" in text:
        raise UnsupportedError("pf.conf: ether address with a mask")
    if not _MAC.match(text):
        read.refuse("invalid MAC address")
    address = ":".join(f"{int(part, 16):02x}" for part in text.split(":"))
    return f"! {address}" if negated else address
