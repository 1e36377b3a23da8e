# SPDX-License-Identifier: BSD-2-Clause
"""MAC addresses that two jails share: Bastille makes them of 20 bits of a hash, the kernel of 16.

Made again, a jail would get the same one, since its name decides it. So it gets another in its jail.conf.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from warden.facts.jails import JAILS
from warden.resources.commands import command

if TYPE_CHECKING:
    from collections.abc import Collection

    from warden.facts.model import Facts
    from warden.host.command import Command

_PREFIX = "58:9c:fc"


def twins(bridge: str, facts: Facts, ours: Collection[str]) -> dict[str, str]:
    """Give those of `ours` that have the MAC address of another jail on the bridge, and have to change: each with that.

    Of two that are ours it is the one that is named later.
    """
    live = facts.interfaces.get(bridge)
    members = live.members if live is not None else frozenset[str]()
    same: dict[str, list[str]] = {}
    ethers: dict[str, str] = {}
    for name, jail in sorted(facts.bastille_jails.items()):
        end = facts.interfaces.get(jail.host_interface or "")
        if end is not None and end.ether:
            ethers[name] = end.ether
            if end.name in members:
                same.setdefault(end.ether, []).append(name)
    found: dict[str, str] = {}
    for name in sorted(ours):
        others = same.get(ethers.get(name, ""), ()) if live is not None else ()
        twin = next((other for other in others if other != name and (other not in ours or other < name)), None)
        if twin is not None:
            found[name] = twin
    return found


def change(name: str, facts: Facts) -> tuple[str, Command]:
    """Give a MAC address that is free, and the command that writes it into a jail's jail.conf, for its next start."""
    new = free(name, taken(facts))
    return f"{new}a", write(name, new)


def taken(facts: Facts) -> set[str]:
    """Give the MAC addresses on the host without their last digits, which tell the two ends of an epair(4) apart."""
    return {interface.ether[:-1] for interface in facts.interfaces.values() if interface.ether}


def free(name: str, not_these: Collection[str]) -> str:
    """Give a MAC address without its last digit for a jail: the first of those that its name decides that is free."""
    number = 0
    while True:
        digest = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
        new = f"{_PREFIX}:{digest[0:2]}:{digest[2:4]}:{digest[4]}"
        if new not in not_these:
            return new
        number += 1


def write(name: str, new: str) -> Command:
    """Give the command that writes a MAC address without its last digit into a jail's jail.conf."""
    path = f"{JAILS}/{name}/jail.conf"
    return command("/usr/bin/sed", "-i", "", f"s/ether [0-9a-f:]\\{{{len(new)}\\}}/ether {new}/", path)
