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


def twin(bridge: str, name: str, facts: Facts, ours: Collection[str]) -> str | None:
    """Give the jail on the bridge that has a jail's MAC address too, if it is this one that has to change.

    Of two that are `ours` it is the one that is named later.
    """
    live = facts.interfaces.get(bridge)
    ends = {jail.name: jail.host_interface or "" for jail in facts.bastille_jails.values()}
    own = facts.interfaces.get(ends.get(name, ""))
    if live is None or own is None or not own.ether:
        return None
    for other, end in sorted(ends.items()):
        held = facts.interfaces.get(end)
        same = other != name and end in live.members and held is not None and held.ether == own.ether
        if same and (other not in ours or other < name):
            return other
    return None


def change(name: str, facts: Facts) -> tuple[str, Command]:
    """Give a MAC address that is free, and the command that writes it into a jail's jail.conf, for its next start."""
    taken = {interface.ether[:-1] for interface in facts.interfaces.values() if interface.ether}
    end = facts.bastille_jails[name].host_interface or ""
    old, number = facts.interfaces[end].ether[:-1], 0
    while True:
        digest = hashlib.sha256(f"{name} {number}".encode()).hexdigest()
        new = f"{_PREFIX}:{digest[0:2]}:{digest[2:4]}:{digest[4]}"
        if new not in taken:
            break
        number += 1
    # the last digit tells the two ends apart
    path = f"{JAILS}/{name}/jail.conf"
    return f"{new}a", command("/usr/bin/sed", "-i", "", f"s/ether {old}/ether {new}/", path)
