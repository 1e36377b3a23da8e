# SPDX-License-Identifier: BSD-2-Clause
"""The routing tables: netstat(1), as text and as JSON (session 00)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.host.fake.jls import find_jail
from warden.host.fake.program import Reply, program, say
from warden.host.fake.routes import table

if TYPE_CHECKING:
    from warden.host.fake.machine import Interface, NetStack
    from warden.host.fake.program import Call

PRETTY = {"U": "up", "R": "reject", "G": "gateway", "H": "host", "S": "static"}
FAMILY_LETTERS = {"inet": "4", "inet6": "6"}
WIDTHS = {"Internet": (18, 18), "Internet6": (33, 29)}
INET6 = [
    ("::/96", "URS", 4),
    ("::1", "UHS", 1),
    ("::ffff:0.0.0.0/96", "URS", 4),
    ("fe80::%lo0/10", "URS", 4),
    ("fe80::%lo0/64", "U", 3),
    ("fe80::1%lo0", "UHS", 2),
    ("ff02::/16", "URS", 4),
]
"""The IPv6 routes of a machine without IPv6: destination, flags, number of the next hop. All go by lo0."""


@dataclass(frozen=True, slots=True)
class Row:
    """One route: what both forms of output show of it."""

    destination: str
    gateway: str
    flags: str
    interface: str
    hop: int
    mtu: int


@program("/usr/bin/netstat", "netstat [--libxo json] [-j JAIL] [-46W] [-f inet|inet6] -rn")
def netstat(call: Call) -> Reply:
    """Show the routing tables of the stack that the caller or a jail sees."""
    words, letters, json, jail = list(call.args), "", False, ""
    while words:
        word = words.pop(0)
        value = words.pop(0) if word in ("--libxo", "-j", "-f") and words else ""
        if (word, value) == ("--libxo", "json") or word == "--libxo=json":
            json = True
        elif word == "-j":
            jail = value
        elif word == "-f" and value in FAMILY_LETTERS:
            letters += FAMILY_LETTERS[value]
        elif not word.startswith("-") or set(word[1:]) - set("46rnW"):
            raise call.unsupported()
        else:
            letters += word[1:]
    if not {"r", "n"} <= set(letters) or ("W" in letters and not json):
        raise call.unsupported()
    inside = find_jail(call.machine, jail) if jail and not call.jail else None
    if jail and inside is None:
        return say(error=f'netstat: jail "{jail}" not found\n', status=1)
    tables = _tables(call.machine.stack(inside.name) if inside is not None else call.net, letters)
    return say(_json(tables, wide="W" in letters) if json else _text(tables))


def _tables(stack: NetStack, letters: str) -> list[tuple[str, list[Row]]]:
    """Give the tables that the letters 4 and 6 ask for; both where there is neither."""
    tables = []
    if "6" not in letters or "4" in letters:
        tables.append(("Internet", _inet(stack)))
    if "4" not in letters or "6" in letters:
        tables.append(("Internet6", _inet6(stack)))
    return [(family, rows) for family, rows in tables if rows]


def _inet(stack: NetStack) -> list[Row]:
    return [
        Row(route.destination, route.gateway, route.flags, route.interface, route.hop, route.mtu)
        for route in table(stack)
    ]


def _inet6(stack: NetStack) -> list[Row]:
    lo0: Interface | None = stack.interfaces.get("lo0")
    if lo0 is None or not lo0.up:
        return []
    return [Row(destination, f"link#{lo0.index}", flags, "lo0", hop, lo0.mtu) for destination, flags, hop in INET6]


def _text(tables: list[tuple[str, list[Row]]]) -> str:
    lines = ["Routing tables\n"]
    for family, rows in tables:
        to, by = WIDTHS[family]
        lines.append(f"\n{family}:\n{'Destination':{to}} {'Gateway':{by}} Flags         Netif Expire\n")
        lines += [f"{row.destination:{to}} {row.gateway:{by}} {row.flags:6} {row.interface:>12}\n" for row in rows]
    return "".join(lines)


def _json(tables: list[tuple[str, list[Row]]], *, wide: bool) -> str:
    """Give the tables as libxo writes them, which puts spaces in some places only."""
    families = []
    for family, rows in tables:
        entries = ", ".join(_json_row(row, wide=wide) for row in rows)
        families.append(f'{{"address-family":"{family}", "rt-entry": [{entries}]}}')
    inside = f'"rt-family": [{", ".join(families)}]' if families else ""
    return f'{{"statistics": {{"route-information": {{"route-table": {{{inside}}}}}}}}}\n'


def _json_row(row: Row, *, wide: bool) -> str:
    pretty = ",".join(f'"{PRETTY[flag]}"' for flag in row.flags)
    more = f'"nhop":{row.hop},"mtu":{row.mtu},' if wide else ""
    return (
        f'{{"destination":"{row.destination}","gateway":"{row.gateway}","flags":"{row.flags}",'
        f' "flags_pretty": [{pretty}],"weight":1,"nhop-kidx":{row.hop},{more}"interface-name":"{row.interface}"}}'
    )
