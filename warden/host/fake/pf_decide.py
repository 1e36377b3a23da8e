# SPDX-License-Identifier: BSD-2-Clause
"""What pf does with a packet: pass it, or block it.

The rules are gone through as pf.conf(5) says: the last one that matches decides, unless a `quick` one comes first;
a rule that calls an anchor has the rules in there gone through at its place. A packet that no rule matches passes.
"""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from warden.host.fake import pf_kernel
from warden.host.fake.pf_grammar import parse_rule
from warden.host.fake.pf_hosts import Surroundings, parse_network
from warden.host.fake.pf_names import protocol_number
from warden.host.fake.pf_options import skipped_interfaces
from warden.host.fake.pf_tables import matches as table_matches

if TYPE_CHECKING:
    from warden.host.fake.machine import Machine
    from warden.host.fake.pf_rules import Address, Rule


@dataclass(slots=True)
class _Packet:
    """A packet, the interface that it is on, and what pf has made up its mind to so far."""

    where: Surroundings
    interface: str
    groups: frozenset[str]
    direction: str
    source: str
    destination: str
    protocol: int
    source_port: int | None
    port: int | None
    passes: bool = True
    matched: bool = False


def passes(
    machine: Machine,
    *,
    interface: str,
    direction: str,
    source: str,
    destination: str,
    protocol: str = "icmp",
    port: int | None = None,
    source_port: int | None = None,
) -> bool:
    """Tell whether the host's pf lets a first packet through on an interface, `in` or `out`.

    States are not known here: an answer to a packet that passed with `keep state` passes too, and is not to be asked
    about. Nor is the way a packet came (`urpf-failed`), and no address is without a route.
    """
    if not machine.pf.enabled:
        return True
    known = machine.net.interfaces.get(interface)
    groups = frozenset(known.groups if known is not None else [])
    skipped = skipped_interfaces(machine.pf.anchors[""].options)
    if interface in skipped or groups & skipped:
        return True
    packet = _Packet(
        where=Surroundings(machine.net.interfaces),
        interface=interface,
        groups=groups,
        direction=direction,
        source=source,
        destination=destination,
        protocol=protocol_number(protocol) or 0,
        source_port=source_port,
        port=port,
    )
    _go_through(machine, "", packet)
    return packet.passes


def _go_through(machine: Machine, anchor: str, packet: _Packet) -> bool:
    """Go through the filter rules of an anchor; tell whether a quick one ended it all."""
    rules = machine.pf.anchors.get(anchor)
    if rules is None:
        return False
    for text in rules.filter:
        rule = parse_rule(text)
        if not _matches(machine, anchor, rule, packet):
            continue
        if rule.anchor:
            outer, packet.matched = packet.matched, False
            ended = _call(machine, anchor, rule, packet) or (rule.quick and packet.matched)
            packet.matched = packet.matched or outer
            if ended:
                return True
        elif rule.action != "match":
            packet.passes, packet.matched = rule.action == "pass", True
            if rule.quick:
                return True
    return False


def _call(machine: Machine, anchor: str, rule: Rule, packet: _Packet) -> bool:
    path = pf_kernel.anchor_path(anchor, rule.anchor)
    paths = pf_kernel.children(machine.pf, path) if rule.anchor.endswith("*") else [path]
    return any(_go_through(machine, one, packet) for one in paths)


def _matches(machine: Machine, anchor: str, rule: Rule, packet: _Packet) -> bool:
    if rule.direction not in {"", packet.direction}:
        return False
    if rule.interface:
        on = rule.interface == packet.interface or rule.interface in packet.groups
        if on == rule.interface_not:
            return False
    if rule.family not in {0, ipaddress.ip_address(packet.source).version}:
        return False
    if rule.protocol not in {0, packet.protocol}:
        return False
    for condition, port in ((rule.source_port, packet.source_port), (rule.destination_port, packet.port)):
        if condition is not None and (port is None or not condition.matches(port)):
            return False
    return _covers(machine, anchor, rule.source, packet.source, packet.where) and _covers(
        machine, anchor, rule.destination, packet.destination, packet.where
    )


def _covers(machine: Machine, anchor: str, address: Address, wanted: str, where: Surroundings) -> bool:
    if address.everything:
        return not address.negated
    if address.kind == "net":
        found = _inside(address.text, wanted)
    elif address.kind == "range":
        low, high = (int(ipaddress.ip_address(end)) for end in address.text.split(" - "))
        found = low <= int(ipaddress.ip_address(wanted)) <= high
    elif address.kind == "table":
        found = table_matches(_table(machine, anchor, address.text), wanted)
    elif address.kind == "dynamic":
        name, *modifiers = address.text.split(":")
        mode = next((modifier for modifier in modifiers if modifier != "0"), "")
        own = where.addresses(name, mode, first="0" in modifiers) or []
        found = any(_inside(one.text, wanted) for one in own)
    else:
        found = False
    return found != address.negated


def _table(machine: Machine, anchor: str, name: str) -> list[str]:
    """Give a table's addresses: the anchor's own, or the main ruleset's of that name."""
    for path in (anchor, ""):
        tables = machine.pf.anchors[path].tables
        if name in tables:
            return tables[name]
    return []


def _inside(network: str, address: str) -> bool:
    outer, inner = parse_network(network), ipaddress.ip_address(address)
    return outer.version == inner.version and inner in outer
