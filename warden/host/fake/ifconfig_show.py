# SPDX-License-Identifier: BSD-2-Clause
"""How ifconfig(8) shows an interface (sessions 00, 01, 05, 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from warden.host.fake.machine import Inet, Interface, Member, NetStack

FLAGS = {
    0x1: "UP",
    0x2: "BROADCAST",
    0x8: "LOOPBACK",
    0x40: "RUNNING",
    0x100: "PROMISC",
    0x800: "SIMPLEX",
    0x8000: "MULTICAST",
    0x1000000: "LOWER_UP",
}
UP, RUNNING, PROMISC, LOWER_UP = 0x1, 0x40, 0x100, 0x1000000
OPTIONS = {
    "ether": "880028<VLAN_MTU,JUMBO_MTU,LINKSTATE,HWSTATS>",
    "loop": "680003<RXCSUM,TXCSUM,LINKSTATE,RXCSUM_IPV6,TXCSUM_IPV6>",
    "bridge": "10<VLAN_HWTAGGING>",
    "epair": "60001b<RXCSUM,TXCSUM,VLAN_MTU,VLAN_HWTAGGING,RXCSUM_IPV6,TXCSUM_IPV6>",
    "vlan": "0",
    "tap": "80000<LINKSTATE>",
}
ND6 = {"loop": "21<PERFORMNUD,AUTO_LINKLOCAL>", "bridge": "9<PERFORMNUD,IFDISABLED>"}
ND6_OTHERS = "29<PERFORMNUD,IFDISABLED,AUTO_LINKLOCAL>"
MEMBER_FLAGS = {
    0x1: "LEARNING",
    0x2: "DISCOVER",
    0x4: "STP",
    0x8: "SPAN",
    0x10: "STICKY",
    0x800: "PRIVATE",
    0x20: "EDGE",
    0x40: "AUTOEDGE",
    0x80: "PTP",
    0x100: "AUTOPTP",
}
"""In the order in which ifconfig names them."""
NO_ETHER = "00:00:00:00:00:00"


def show(stack: NetStack, interface: Interface, family: str = "", form: str = "") -> str:
    """Give an interface's lines; all of them, or those of the family `inet`, `inet6` or `ether`."""
    flags = flags_of(stack, interface)
    lines = [f"{interface.name}: flags={_bits(flags, FLAGS)} metric 0 mtu {interface.mtu}"]
    if interface.description:
        lines.append(f"\tdescription: {interface.description}")
    lines.append(f"\toptions={OPTIONS[interface.kind]}")
    if family in ("", "ether") and interface.ether:
        lines.append(f"\tether {interface.ether}")
        if interface.hwaddr not in ("", interface.ether):
            lines.append(f"\thwaddr {interface.hwaddr}")
    if family in ("", "inet"):
        lines += [_inet(inet, form, broadcast=interface.kind != "loop") for inet in interface.inet]
    if family in ("", "inet6") and interface.unit == "lo0" and interface.started:
        lines += ["\tinet6 ::1 prefixlen 128", f"\tinet6 fe80::1%lo0 prefixlen 64 scopeid {interface.index:#x}"]
    if not family:
        lines += _rest(stack, interface)
    if family in ("", "inet6"):
        lines.append(f"\tnd6 options={ND6.get(interface.kind, ND6_OTHERS)}")
    if not family and interface.opened_by:
        lines.append(f"\tOpened by PID {interface.opened_by}")
    return "\n".join(lines) + "\n"


def flags_of(stack: NetStack, interface: Interface) -> int:
    """Work out an interface's flags from its state."""
    kind, up = interface.kind, interface.up
    flags = 0x8008 if kind == "loop" else 0x8802
    running, carrier = up, up
    if kind == "epair":  # runs from the start, up or not
        running = carrier = True
    elif kind == "tap":
        running = up and bool(interface.opened_by)
        carrier = bool(interface.opened_by)
    elif kind == "vlan":
        parent = stack.interfaces.get(interface.vlandev)
        running = parent is not None
        # a bridge has no media that its vlan interfaces could report (session 14)
        carrier = parent is not None and parent.kind in ("epair", "ether", "tap")
    if interface.bridge:
        flags |= PROMISC
    return flags | up * UP | running * RUNNING | carrier * LOWER_UP


def show_vlans(vlans: list[int]) -> str:
    """Give a set of VLANs as ifconfig does: `101-110,200`."""
    runs: list[list[int]] = []
    for vlan in sorted(vlans):
        if runs and vlan == runs[-1][-1] + 1:
            runs[-1].append(vlan)
        else:
            runs.append([vlan])
    return ",".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)


def _rest(stack: NetStack, interface: Interface) -> Iterator[str]:
    if interface.kind == "bridge":
        yield from _bridge(interface)
    if interface.groups:
        yield f"\tgroups: {' '.join(interface.groups)}"
    if interface.kind == "vlan":
        protocol = "802.1q" if interface.vlandev else "0x0000"
        parent = interface.vlandev or "<none>"
        yield f"\tvlan: {interface.vlan} vlanproto: {protocol} vlanpcp: 0 parent interface: {parent}"
    yield from _media(stack, interface)


def _media(stack: NetStack, interface: Interface) -> list[str]:
    if interface.kind == "vlan" and interface.vlandev:
        return _media(stack, stack.interfaces[interface.vlandev])
    if interface.kind == "ether":
        found = "10Gbase-T <full-duplex>" if interface.up else "none"
        status = "active" if interface.up else "no carrier"
        return [f"\tmedia: Ethernet autoselect ({found})", f"\tstatus: {status}"]
    if interface.kind == "epair":
        return ["\tmedia: Ethernet 10Gbase-T (10Gbase-T <full-duplex>)", "\tstatus: active"]
    if interface.kind == "tap":
        return [
            "\tmedia: Ethernet 1000baseT <full-duplex>",
            f"\tstatus: {'active' if interface.opened_by else 'no carrier'}",
        ]
    return []


def _bridge(bridge: Interface) -> Iterator[str]:
    yield f"\tid {NO_ETHER} priority 32768 hellotime 2 fwddelay 15"
    yield "\tmaxage 20 holdcnt 6 proto rstp maxaddr 2000 timeout 1200"
    yield f"\troot id {NO_ETHER} priority {32768 if bridge.started else 0} ifcost 0 port 0"
    default = f" defuntagged={bridge.default_vlan}" if bridge.default_vlan else ""
    yield f"\tbridge flags={_bits(int(bridge.vlanfilter), {1: 'VLANFILTER'})}{default}"
    for name, member in reversed(bridge.members.items()):  # the newest first (session 05)
        yield from _member(name, member)


def _member(name: str, member: Member) -> Iterator[str]:
    yield f"\tmember: {name} flags={_bits(member.flags, MEMBER_FLAGS)}"
    limit = f"ifmaxaddr {member.max_addresses} " if member.max_addresses else ""
    vlans = f" untagged {member.untagged}" if member.untagged else ""
    vlans += f" tagged {show_vlans(member.tagged)}" if member.tagged else ""
    yield (
        f"\t        {limit}port {member.port} priority {member.priority} path cost {member.cost}"
        f" vlan protocol 802.1q{vlans}"
    )


def _inet(inet: Inet, form: str, *, broadcast: bool) -> str:
    mask = 0xFFFFFFFF << (32 - inet.prefix) & 0xFFFFFFFF
    if form == "cidr":
        text = f"\tinet {inet.address}/{inet.prefix}"
    elif form == "dotted":
        text = f"\tinet {inet.address} netmask {_dotted(mask)}"
    else:
        text = f"\tinet {inet.address} netmask {mask:#010x}"
    if broadcast:
        # the last address of the network; of a network of two, which has none, all ones (RFC 3021)
        last = 0xFFFFFFFF if inet.prefix == 31 else _number(inet.address) | ~mask & 0xFFFFFFFF
        text += f" broadcast {_dotted(last)}"
    return text


def _bits(value: int, names: dict[int, str]) -> str:
    return f"{value:x}<{','.join(name for bit, name in names.items() if value & bit)}>"


def _dotted(number: int) -> str:
    return ".".join(str(number >> shift & 0xFF) for shift in (24, 16, 8, 0))


def _number(address: str) -> int:
    number = 0
    for part in address.split("."):
        number = number << 8 | int(part)
    return number
