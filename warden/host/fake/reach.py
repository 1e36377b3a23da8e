# SPDX-License-Identifier: BSD-2-Clause
"""Where packets get to: routing in the host and the jails, bridges with their members, VLANs, and the host's pf.

Layer 2 is the epairs and the bridges of the machine; nothing outside of it answers. What pf says of a request counts;
the answer belongs to the state that the request made, and passes (session 09).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from ipaddress import IPv4Address, IPv4Interface
from typing import TYPE_CHECKING, NamedTuple

from warden.host.fake import network, pf_decide, sysctl
from warden.host.fake.ifconfig_bridge import PRIVATE
from warden.host.fake.machine import Neighbour
from warden.host.fake.routes import lookup, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.machine import Interface, Machine, Member, NetStack

FIRST_TTL = 64
ARP_LIFETIME = 1200
DROPPED = -1
NO_ROUTE = "No route to host"
TOO_LONG = "Message too long"


class SendError(Exception):
    """The kernel refused to send; the text is strerror(3)'s."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet on its way."""

    source: str
    destination: str
    protocol: str = "icmp"
    port: int | None = None
    size: int = 84
    whole: bool = False
    """It must not be cut into fragments."""
    answers: bool = False
    ttl: int = FIRST_TTL


class Place(NamedTuple):
    """An interface that hears a frame, and the members of a bridge that it passed: into it and out of it."""

    stack: NetStack
    interface: Interface
    into: str = ""
    out_of: str = ""


def delivers(machine: Machine, stack: NetStack, packet: Packet) -> tuple[NetStack, Packet] | None:
    """Send a packet from a stack; give the stack that it reaches and how it arrives, None where it is lost.

    A packet without a source gets that of the interface that it leaves by. Raises SendError where it cannot leave.
    """
    if _is_own(stack, packet.destination):
        return stack, replace(packet, source=packet.source or packet.destination)
    there: NetStack | None
    there, packet = _hop(machine, stack, packet)
    while there is not None and not _is_own(there, packet.destination):
        if packet.ttl == 1 or sysctl.read(machine, there, "net.inet.ip.forwarding") != "1":
            return None
        try:
            there, packet = _hop(machine, there, replace(packet, ttl=packet.ttl - 1))
        except SendError:
            return None
    return None if there is None else (there, packet)


def _hop(machine: Machine, stack: NetStack, packet: Packet) -> tuple[NetStack | None, Packet]:
    """Take a packet to the next stack on its way; give None where it is lost."""
    route = lookup(table(stack), IPv4Address(packet.destination))
    if route is None:
        raise SendError(NO_ROUTE)
    out = stack.interfaces[route.interface]
    step = route.via or packet.destination
    packet = packet if packet.source else replace(packet, source=_source(out, step))
    if packet.whole and packet.size > out.mtu:
        raise SendError(TOO_LONG)
    place = _ask(machine, stack, out, step) if _passes(machine, stack, out.name, "out", packet) else None
    if place is None or not _crosses(machine, place, packet):
        return None, packet
    enters = _passes(machine, place.stack, place.interface.name, "in", packet)
    return (place.stack if enters else None), packet


def gets_out(machine: Machine, stack: NetStack, packet: Packet) -> bool:
    """Tell whether a packet gets from a stack to the outside: by the host's default route, past the host's pf."""
    try:
        if stack is not machine.net:
            here, packet = _hop(machine, stack, packet)
            if here is not machine.net or sysctl.read(machine, here, "net.inet.ip.forwarding") != "1":
                return False
    except SendError:
        return False
    route = lookup(table(machine.net), IPv4Address(packet.destination))
    out = machine.net.interfaces.get(route.interface) if route is not None and route.via else None
    if out is None or not out.up:
        return False
    if not packet.source or stack is not machine.net:  # a jail's packet goes out under the host's address
        packet = replace(packet, source=_source(out, route.via if route is not None else ""))
    return _passes(machine, machine.net, out.name, "out", packet)


def round_trip(machine: Machine, stack: NetStack, packet: Packet) -> int:
    """Send a packet and its answer; give the answer's TTL, 0 where one of them is lost."""
    arrived = delivers(machine, stack, packet)
    if arrived is None:
        return 0
    there, received = arrived
    answer = Packet(received.destination, received.source, packet.protocol, size=packet.size, answers=True)
    try:
        back = delivers(machine, there, answer)
    except SendError:
        return 0
    return back[1].ttl if back is not None and back[0] is stack else 0


def hearing(machine: Machine, stack: NetStack, out: Interface, tag: int = 0) -> Iterator[Place]:
    """Give who hears a broadcast that leaves by an interface, with a VLAN's tag or without."""
    if not out.up:
        return
    if out.kind == "vlan":
        parent = stack.interfaces.get(out.vlandev)
        if parent is not None and not tag:
            yield from hearing(machine, stack, parent, out.vlan)
    elif out.kind == "bridge":
        yield from _through_bridge(machine, stack, out, "", tag)
    elif out.kind == "epair":
        other, there = network.peer(machine, out), machine.stack(out.peer_jail)
        if other.up:
            yield from _arriving(machine, there, other, tag)


def _arriving(machine: Machine, stack: NetStack, interface: Interface, tag: int) -> Iterator[Place]:
    if interface.bridge:
        yield from _through_bridge(machine, stack, stack.interfaces[interface.bridge], interface.name, tag)
    else:
        yield from _taken(stack, interface, tag)


def _taken(stack: NetStack, interface: Interface, tag: int) -> Iterator[Place]:
    """Hand a frame to an interface: with a tag, to the vlan interface that it has for it."""
    taker = stack.interfaces[interface.vlans[tag]] if tag in interface.vlans else interface
    if taker.up and (not tag or taker is not interface):
        yield Place(stack, taker)


def _through_bridge(machine: Machine, stack: NetStack, bridge: Interface, into: str, tag: int) -> Iterator[Place]:
    """Pass a frame through a bridge; `into` is the member that it came by, '' for the bridge's own host."""
    if not bridge.up:
        return
    entered = bridge.members.get(into)
    tag = _tag_within(bridge, entered, tag)
    if tag == DROPPED:
        return
    if entered is not None:
        yield from (place._replace(into=into) for place in _taken(stack, bridge, tag))
    for name, member in bridge.members.items():
        leaving = stack.interfaces[name]
        hidden = entered is not None and entered.flags & member.flags & PRIVATE
        kept = _tag_without(bridge, member, tag)
        if name == into or hidden or kept == DROPPED or not leaving.up or leaving.kind != "epair":
            continue
        other, there = network.peer(machine, leaving), machine.stack(leaving.peer_jail)
        if other.up:
            for place in _arriving(machine, there, other, kept):
                yield place._replace(into=into, out_of=name)


def _tag_within(bridge: Interface, member: Member | None, tag: int) -> int:
    """Give the VLAN of a frame inside a bridge; a member without a VLAN reaches nobody (session 14)."""
    if not bridge.vlanfilter:
        return tag
    if member is not None:
        tag = member.untagged if not tag else tag * (tag in member.tagged)
    return tag or DROPPED


def _tag_without(bridge: Interface, member: Member, tag: int) -> int:
    """Give the tag with which a frame leaves a bridge by a member."""
    if not bridge.vlanfilter:
        return tag
    if member.untagged == tag:
        return 0
    return tag if tag in member.tagged else DROPPED


def _ask(machine: Machine, stack: NetStack, out: Interface, address: str) -> Place | None:
    """Find who has an address on an interface's wire, as ARP does; both remember each other."""
    for place in hearing(machine, stack, out):
        if any(inet.address == address for inet in place.interface.inet):
            _remember(machine, stack, out, address, place.interface.ether)
            own = _source(out, address)
            if own:
                _remember(machine, place.stack, place.interface, own, out.ether)
            return place
    return None


def _remember(machine: Machine, stack: NetStack, interface: Interface, address: str, ether: str) -> None:
    known = stack.neighbours.setdefault(interface.name, {})
    if address not in known or known[address].expires <= machine.clock or known[address].ether != ether:
        known.pop(address, None)
        known[address] = Neighbour(ether, machine.clock + ARP_LIFETIME)


def _crosses(machine: Machine, place: Place, packet: Packet) -> bool:
    """Tell whether pf lets a packet through a bridge's members, which it sees only with pfil_member."""
    if not (place.into or place.out_of) or sysctl.read(machine, machine.net, "net.link.bridge.pfil_member") != "1":
        return True
    return all(
        not member or _passes(machine, machine.net, member, direction, packet)
        for member, direction in ((place.into, "in"), (place.out_of, "out"))
    )


def _passes(machine: Machine, stack: NetStack, interface: str, direction: str, packet: Packet) -> bool:
    """Ask the host's pf; jails have none of their own here."""
    if stack is not machine.net or packet.answers:
        return True
    return pf_decide.passes(
        machine,
        interface=interface,
        direction=direction,
        source=packet.source,
        destination=packet.destination,
        protocol=packet.protocol,
        port=packet.port,
    )


def _source(out: Interface, towards: str) -> str:
    """Choose the address to send from: the one in the network of the next step, else the interface's first."""
    for inet in out.inet:
        if IPv4Address(towards) in IPv4Interface(f"{inet.address}/{inet.prefix}").network:
            return inet.address
    return out.inet[0].address if out.inet else ""


def _is_own(stack: NetStack, address: str) -> bool:
    return any(
        inet.address == address for interface in stack.interfaces.values() if interface.up for inet in interface.inet
    )
