# SPDX-License-Identifier: BSD-2-Clause
"""What the kernel does with network interfaces: make, rename, move, address and destroy them."""

from __future__ import annotations

import heapq
import re
from hashlib import sha1
from ipaddress import IPv4Interface
from typing import TYPE_CHECKING

from warden.host.fake.machine import Inet, Interface, Member, NetStack, Numbers

if TYPE_CHECKING:
    from warden.host.fake.machine import InterfaceKind, Machine

CLONERS: dict[str, InterfaceKind] = {"bridge": "bridge", "epair": "epair", "lo": "loop", "tap": "tap", "vlan": "vlan"}
MODULES = {"bridge": "if_bridge.ko", "epair": "if_epair.ko"}
"""The modules of the interfaces that GENERIC cannot make by itself."""
NAME_LIMIT = 15
MTU_RANGE = range(72, 65536)
LOOPBACK_MTU = 16384
PATH_COSTS = {"tap": 2000000}


class NetworkError(Exception):
    """The kernel refused; `reason` is strerror(3)'s text, `detail` what if_bridge(4) says besides."""

    def __init__(self, reason: str, detail: str = "") -> None:
        super().__init__(f"{reason} ({detail})" if detail else reason)
        self.reason = reason
        self.detail = detail


def in_order(stack: NetStack) -> list[Interface]:
    """Give the interfaces in the order in which ifconfig lists them."""
    return sorted(stack.interfaces.values(), key=lambda interface: interface.serial)


def attach_hardware(machine: Machine, adapters: dict[str, str] | None = None) -> None:
    """Start over as a boot does: the adapters that the machine has, or those given with their MACs, and lo0."""
    if adapters is None:
        stacks = [machine.net, *(jail.net for jail in machine.jails.values() if jail.net is not None)]
        found = [one for stack in stacks for one in stack.interfaces.values() if one.kind == "ether"]
        adapters = {one.unit: one.hwaddr for one in sorted(found, key=lambda one: one.unit)}
    machine.net = NetStack()
    machine.indexes = Numbers(next=1)
    for name, ether in adapters.items():
        _attach(machine, machine.net, name, "ether", ether)
    create(machine, machine.net, "lo")


def new_stack(machine: Machine, jail: str) -> NetStack:
    """Give the network stack that a VNET jail starts with: lo0, down."""
    stack = NetStack(jail=jail)
    create(machine, stack, "lo")
    return stack


def create(machine: Machine, stack: NetStack, wanted: str) -> Interface:
    """Make an interface from a cloner's name, `bridge`, or from a unit's, `bridge7`; of an epair, give end a."""
    match = re.fullmatch(r"([a-z]+)(\d*)", wanted)
    cloner = match[1] if match else ""
    if match is None or cloner not in CLONERS or MODULES.get(cloner, "") not in ("", *machine.modules):
        raise NetworkError("Invalid argument")
    unit = _take_unit(stack, cloner, int(match[2]) if match[2] else None)
    if cloner == "epair":
        first, second = (_make(machine, stack, "epair", f"epair{unit}{end}") for end in "ab")
        first.peer, second.peer = second.name, first.name
        first.peer_jail = second.peer_jail = stack.jail
        return first
    return _make(machine, stack, cloner, f"{cloner}{unit}")


def _take_unit(stack: NetStack, cloner: str, wanted: int | None) -> int:
    """Take the wanted unit or, as ifc_alloc_unit does, the first whose name no renamed interface has."""
    numbers, number = stack.units.setdefault(cloner, Numbers()), wanted
    while True:
        try:
            unit = take(numbers, number)
        except NetworkError:
            if wanted is not None:
                raise
            number = (number or 0) + 1
            continue
        if not any(f"{cloner}{unit}{end}" in stack.interfaces for end in ("", "a", "b")):
            return unit
        give_back(numbers, unit)
        if wanted is not None:
            raise NetworkError("File exists")
        number = unit + 1


def create_vlan(machine: Machine, stack: NetStack, name: str, parent: str, tag: int) -> Interface:
    """Make a vlan interface, `vlan`, `vlan3` or `warden0.101`, with the tag on the parent."""
    over = stack.interfaces.get(parent)
    if over is None:
        raise NetworkError("Device not configured")
    if tag in over.vlans:
        raise NetworkError("File exists")
    interface = _make(machine, stack, "vlan", name) if "." in name else create(machine, stack, name)
    interface.vlan, interface.vlandev, interface.ether = tag, parent, over.ether
    interface.mtu = over.mtu - vlan_overhead(over)
    over.vlans[tag] = interface.name
    return interface


def vlan_overhead(parent: Interface) -> int:
    """Give what a VLAN tag takes from the MTU: nothing where the parent's driver has VLAN_MTU; a bridge has not."""
    return 4 if parent.kind in ("bridge", "tap") else 0


def destroy(machine: Machine, stack: NetStack, name: str) -> None:
    """Destroy a cloned interface; an epair goes with its other end, wherever that is."""
    interface = stack.interfaces[name]
    if interface.kind == "ether" or interface.unit == "lo0":
        raise NetworkError("Invalid argument")
    home = machine.stack(interface.home)
    if interface.kind == "epair":
        _detach(machine, machine.stack(interface.peer_jail), peer(machine, interface))
    _detach(machine, stack, interface)
    cloned = re.fullmatch(r"([a-z]+)(\d+)[ab]?", interface.unit)
    if cloned and cloned[1] in home.units:
        give_back(home.units[cloned[1]], int(cloned[2]))


def peer(machine: Machine, interface: Interface) -> Interface:
    """Give an epair's other end."""
    return machine.stack(interface.peer_jail).interfaces[interface.peer]


def rename(machine: Machine, stack: NetStack, interface: Interface, name: str) -> None:
    """Give an interface another name; what refers to it follows."""
    old = interface.name
    if name == old:
        return
    _refuse_name(stack, name)
    del stack.interfaces[old]
    stack.interfaces[name] = interface
    if old in stack.neighbours:
        stack.neighbours[name] = stack.neighbours.pop(old)
    interface.name = name
    if interface.peer:
        peer(machine, interface).peer = name
    for member in interface.members:
        stack.interfaces[member].bridge = name
    if interface.bridge:
        bridge = stack.interfaces[interface.bridge]
        bridge.members = {name if member == old else member: port for member, port in bridge.members.items()}
    for child in interface.vlans.values():
        stack.interfaces[child].vlandev = name
    if interface.vlandev:
        stack.interfaces[interface.vlandev].vlans[interface.vlan] = name


def _refuse_name(stack: NetStack, name: str) -> None:
    if not name:
        raise NetworkError("Invalid argument")
    if len(name) > NAME_LIMIT:
        raise NetworkError("File name too long")
    if name in stack.interfaces:
        raise NetworkError("File exists")


def set_up(stack: NetStack, interface: Interface, *, up: bool) -> None:
    """Bring an interface up or down; down takes the routes through it along."""
    interface.up = up
    interface.started = interface.started or up
    if not up:
        for inet in interface.inet:
            _lose_routes(stack, inet)


def add_address(stack: NetStack, interface: Interface, address: str, prefix: int) -> None:
    """Add an address, which brings the interface up; one that is there goes and comes back at the end."""
    interface.inet = [inet for inet in interface.inet if inet.address != address]
    interface.inet.append(Inet(address, prefix))
    set_up(stack, interface, up=True)


def remove_address(stack: NetStack, interface: Interface, address: str) -> None:
    """Take an address away, and the routes that it made possible."""
    for position, inet in enumerate(interface.inet):
        if inet.address == address:
            del interface.inet[position]
            _lose_routes(stack, inet)
            return
    raise NetworkError("Can't assign requested address")


def set_ether(stack: NetStack, interface: Interface, ether: str) -> None:
    """Give an interface another MAC address; vlan interfaces on it have the same."""
    interface.ether = ether
    for child in interface.vlans.values():
        stack.interfaces[child].ether = ether


def set_mtu(stack: NetStack, interface: Interface, mtu: int) -> None:
    """Set the MTU by the rules of if_bridge(4) and vlan(4)."""
    if interface.bridge:
        raise NetworkError("Operation not supported")
    limit = MTU_RANGE.stop - 1
    if interface.vlandev:
        parent = stack.interfaces[interface.vlandev]
        limit = parent.mtu - vlan_overhead(parent)
    if mtu not in MTU_RANGE or mtu > limit:
        raise NetworkError("Invalid argument")
    interface.mtu = mtu
    for member in interface.members:
        stack.interfaces[member].mtu = mtu


def add_member(stack: NetStack, bridge: Interface, name: str) -> None:
    """Add a member to a bridge: the first gives the bridge its MTU, later ones take the bridge's."""
    interface = stack.interfaces.get(name)
    if interface is None:
        raise NetworkError("No such file or directory", "No such interface")
    if interface.bridge == bridge.name:
        raise NetworkError("File exists", "Interface is already a member of this bridge")
    if interface.bridge:
        raise NetworkError("Device busy", "Interface is already a member of another bridge")
    if interface.kind in ("loop", "bridge"):
        raise NetworkError("Invalid argument", "Unsupported interface type")
    if interface.inet:
        raise NetworkError("Invalid argument", "Member interface may not have an IP address assigned")
    if bridge.members:
        interface.mtu = bridge.mtu
    else:
        bridge.mtu = interface.mtu
    interface.bridge = bridge.name
    bridge.members[name] = Member(
        interface.index, cost=PATH_COSTS.get(interface.kind, 2000), untagged=bridge.default_vlan
    )


def remove_member(stack: NetStack, bridge: Interface, name: str) -> None:
    """Take a member off a bridge."""
    if name not in bridge.members:
        raise NetworkError("No such file or directory", "Interface is not a bridge member")
    del bridge.members[name]
    bridge.static = {ether: member for ether, member in bridge.static.items() if member != name}
    stack.interfaces[name].bridge = ""


def move(machine: Machine, out_of: NetStack, into: NetStack, name: str) -> None:
    """Move an interface from one stack to another: it arrives down, without addresses, in its kind's group only."""
    interface = out_of.interfaces[name]
    _leave(out_of, interface)
    del out_of.interfaces[name]
    if name in into.interfaces:
        interface.name = interface.unit
    interface.serial = machine.next_serial
    machine.next_serial += 1
    interface.groups = interface.groups[:1] if interface.kind != "ether" else []
    into.interfaces[interface.name] = interface
    if interface.peer:
        other = peer(machine, interface)
        other.peer, other.peer_jail = interface.name, into.jail


def move_to_jail(machine: Machine, interface_name: str, jail_name: str) -> None:
    """Give an interface of the host to a VNET jail, as vnet.interface of jail.conf(5) does."""
    move(machine, machine.net, machine.stack(jail_name), interface_name)


def return_from_jail(machine: Machine, jail_name: str) -> None:
    """End a jail's stack: what it was given goes back to the host under the name that it has, the rest is gone."""
    stack = machine.jails[jail_name].net
    if stack is None:
        return
    for interface in in_order(stack):
        if interface.name not in stack.interfaces:
            continue  # the other end of an epair made inside, gone with the first
        if interface.home != jail_name:
            move(machine, stack, machine.stack(interface.home), interface.name)
        elif interface.unit == "lo0":
            _detach(machine, stack, interface)
        else:
            destroy(machine, stack, interface.name)


def take(numbers: Numbers, wanted: int | None = None) -> int:
    """Take the lowest free number, or the wanted one; raise NetworkError where that is in use."""
    if wanted is None:
        if numbers.free:
            return heapq.heappop(numbers.free)
        numbers.next += 1
        return numbers.next - 1
    if wanted >= numbers.next:
        for number in range(numbers.next, wanted):
            heapq.heappush(numbers.free, number)
        numbers.next = wanted + 1
    elif wanted in numbers.free:
        numbers.free.remove(wanted)
        heapq.heapify(numbers.free)
    else:
        raise NetworkError("File exists")
    return wanted


def give_back(numbers: Numbers, number: int) -> None:
    """Give a number back."""
    heapq.heappush(numbers.free, number)


def _make(machine: Machine, stack: NetStack, cloner: str, name: str) -> Interface:
    if name in stack.interfaces:
        raise NetworkError("File exists")
    ether = "" if cloner in ("lo", "vlan") else _made_ether(machine, stack, name)
    interface = _attach(machine, stack, name, CLONERS[cloner], ether)
    interface.groups = [cloner]
    if cloner == "lo":
        interface.mtu = LOOPBACK_MTU
    return interface


def _made_ether(machine: Machine, stack: NetStack, name: str) -> str:
    """Derive a MAC as ether_gen_addr(9) does: the same for the same name; in a jail, which has no UUID, by chance."""
    if stack.jail:
        octets = [machine.pick(256) for _ in range(6)]
        octets[0] = octets[0] & 0xFE | 0x02
        return ":".join(f"{octet:02x}" for octet in octets)
    digest = sha1(f"{machine.hostuuid}-{name}-0".encode(), usedforsecurity=False).digest()
    return f"58:9c:fc:10:{digest[0]:02x}:{digest[1]:02x}"


def _attach(machine: Machine, stack: NetStack, name: str, kind: InterfaceKind, ether: str) -> Interface:
    interface = Interface(
        name, name, kind, machine.next_serial, take(machine.indexes), ether=ether, hwaddr=ether, home=stack.jail
    )
    machine.next_serial += 1
    stack.interfaces[name] = interface
    return interface


def _detach(machine: Machine, stack: NetStack, interface: Interface) -> None:
    _leave(stack, interface)
    del stack.interfaces[interface.name]
    give_back(machine.indexes, interface.index)


def _leave(stack: NetStack, interface: Interface) -> None:
    """Untie an interface from what it works with in its stack."""
    set_up(stack, interface, up=False)
    interface.inet = []
    stack.neighbours.pop(interface.name, None)
    if interface.bridge:
        remove_member(stack, stack.interfaces[interface.bridge], interface.name)
    for member in list(interface.members):
        remove_member(stack, interface, member)
    for child in interface.vlans.values():
        # the vlan interface stays, without a parent and with the MTU of its own (session 14)
        orphan = stack.interfaces[child]
        orphan.vlan, orphan.vlandev, orphan.mtu = 0, "", 1500
    interface.vlans = {}
    if interface.vlandev:
        del stack.interfaces[interface.vlandev].vlans[interface.vlan]
        interface.vlan, interface.vlandev = 0, ""


def _lose_routes(stack: NetStack, inet: Inet) -> None:
    """Forget the routes whose gateway was on the wire by this address."""
    network = IPv4Interface(f"{inet.address}/{inet.prefix}").network
    if stack.default_router and IPv4Interface(stack.default_router).ip in network:
        stack.default_router = ""
    for destination, gateway in list(stack.routes.items()):
        if IPv4Interface(gateway).ip in network:
            del stack.routes[destination]
