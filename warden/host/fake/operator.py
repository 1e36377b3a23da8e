# SPDX-License-Identifier: BSD-2-Clause
"""Where the operator of the fake machine sits, and whether the machine lets him in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.pf_decide import passes

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine

DESK = "198.51.100.7"
"""Somewhere behind the machine's default route; RFC 5737."""
SSH = 22


def takes_ssh(machine: Machine, source: str = DESK) -> bool:
    """Tell whether pf lets a new connection to sshd in, on any address that the hardware of the machine has."""
    hardware = [interface for interface in machine.net.interfaces.values() if interface.kind == "ether"]
    return any(
        passes(
            machine,
            interface=interface.name,
            direction="in",
            source=source,
            destination=address.address,
            protocol="tcp",
            port=SSH,
            source_port=50_000,
        )
        for interface in hardware
        for address in interface.inet
    )
