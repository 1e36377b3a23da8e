# SPDX-License-Identifier: BSD-2-Clause
"""How ifconfig(8) reads its words, and how it ends when it cannot."""

from __future__ import annotations

import re
from ipaddress import IPv4Address

_UNKNOWN = """
    -arp arp broadcast compress -debug debug -defqinq defqinq deletetunnel fib flush flushall fwddelay hellotime
    holdcnt ifpathcost ifpriority ifvlanproto ipdst -link0 link0 -link1 link1 -link2 link2 -lro lro maclabel maxaddr
    maxage media -mediaopt mediaopt metric mode -monitor monitor -netcons netcons noicmp normal -pcp pcp -polling
    polling priority -promisc promisc proto -qinq qinq -rxcsum rxcsum -rxcsum6 rxcsum6 -span span -staticarp
    staticarp -stp stp timeout -toe toe -tso tso -tso4 tso4 -tso6 tso6 -tunnel tunnel tunnelfib -txcsum txcsum
    -txcsum6 txcsum6 vlan -vlandev vlandev -vlanhwcsum vlanhwcsum -vlanhwfilter vlanhwfilter -vlanhwtag vlanhwtag
    -vlanhwtso vlanhwtso -vlanmtu vlanmtu vlanpcp vlanproto -wol wol
"""
UNKNOWN_TO_US = frozenset(_UNKNOWN.split())
"""Words that ifconfig knows and the fake host does not."""


class Ending(Exception):  # noqa: N818 - it ends, and what it says is ifconfig's own
    """Ifconfig gives up with this message; what it did before stays done."""


def requires(word: str, words: list[str], count: int) -> list[str]:
    """Take a word's arguments off the list."""
    if len(words) < count:
        raise Ending(f"'{word}' requires {'argument' if count == 1 else f'{count} arguments'}")
    taken = words[:count]
    del words[:count]
    return taken


def parse_address(word: str) -> tuple[str, int | None]:
    """Read `10.0.1.1/24` or `10.0.1.1`."""
    address, slash, width = word.partition("/")
    prefix = None
    if slash:
        if not re.fullmatch(r"-?\d+", width):
            raise Ending(f"{word}: bad value (width invalid)")
        prefix = int(width)
        if not 0 <= prefix <= 32:
            raise Ending(f"{word}: bad value (width too {'large' if prefix > 32 else 'small'})")
    try:
        return str(IPv4Address(address)), prefix
    except ValueError:
        raise Ending(f"{address}: bad value") from None


def parse_mask(word: str) -> int:
    """Give the prefix of a netmask, `255.255.255.0` or `0xffffff00`."""
    try:
        mask = int(word, 16) if word.startswith("0x") else int(IPv4Address(word))
    except ValueError:
        raise Ending(f"{word}: bad value") from None
    bits = f"{mask:032b}"
    if "01" in bits:
        raise Ending(f"{word}: bad value")
    return bits.count("1")


def parse_vlan(word: str) -> int:
    """Give a VLAN's number, or 0 where it is none."""
    return int(word) if re.fullmatch(r"\d{1,4}", word) and 0 < int(word) < 0xFFF else 0


def parse_vlans(word: str) -> list[int]:
    """Give a set of VLANs: `101-110,200`, `all`, `none`."""
    if word == "none":
        return []
    if word == "all":
        return list(range(1, 0xFFF))
    vlans: set[int] = set()
    for part in word.split(","):
        first, dash, last = part.partition("-")
        ends = parse_vlan(first), parse_vlan(last if dash else first)
        if 0 in ends or ends[1] < ends[0]:
            raise Ending(f"invalid vlan set: {word}")
        vlans.update(range(ends[0], ends[1] + 1))
    return sorted(vlans)
