# SPDX-License-Identifier: BSD-2-Clause
"""Who was met on the wire: arp(8)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.network import in_order
from warden.host.fake.program import Reply, program, say

if TYPE_CHECKING:
    from warden.host.fake.program import Call

TYPES = {"vlan": "vlan", "bridge": "bridge"}
BUCKETS = 32


@program("/usr/sbin/arp", "arp -an")
def arp(call: Call) -> Reply:
    """Show the machine's own addresses and those that it learnt, interface by interface."""
    if sorted("".join(call.args).replace("-", "")) != ["a", "n"]:
        raise call.unsupported()
    lines = []
    for interface in in_order(call.net):
        if interface.kind == "loop":
            continue
        known = {inet.address: (interface.ether, "permanent") for inet in interface.inet if interface.up}
        for address, neighbour in call.net.neighbours.get(interface.name, {}).items():
            left = neighbour.expires - call.machine.clock
            if left > 0 and address not in known:
                known[address] = (neighbour.ether, f"expires in {left} seconds")
        # the kernel keeps them in buckets, the newest of a bucket first (sessions 09 and 14)
        newest_first = list(known)[::-1]
        for address in sorted(newest_first, key=_bucket):
            ether, state = known[address]
            lines.append(
                f"? ({address}) at {ether} on {interface.name} {state} [{TYPES.get(interface.kind, 'ethernet')}]\n"
            )
    return say("".join(lines))


def _bucket(address: str) -> int:
    bucket = 0
    for part in address.split("."):
        bucket ^= int(part)
    return bucket % BUCKETS
