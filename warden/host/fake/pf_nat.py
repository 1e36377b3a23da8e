# SPDX-License-Identifier: BSD-2-Clause
"""The lines `nat`, `rdr`, `binat` and the anchors for them of pf.conf(5)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from warden.host.fake.pf_clauses import (
    FromTo,
    family,
    from_to,
    hosts,
    interfaces,
    log_and_quick,
    one_host,
    port_number,
    port_range,
    protocols,
    tagged,
)
from warden.host.fake.pf_expand import Lists, expand
from warden.host.fake.pf_lexer import NUMBER, STRING
from warden.host.fake.pf_print import NAT_PORTS
from warden.host.fake.pf_rules import ANY, Address, Pool, Port, Rule

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.pf_reader import Reader
    from warden.host.fake.pf_rules import RuleKind


@dataclass(slots=True)
class _Target:
    """What stands behind `->`; `low` and `high` are None where no port or no range is named."""

    addresses: list[Address]
    low: int | None = None
    high: int | None = None
    star: bool = False
    method: str = ""
    static_port: bool = False
    sticky: bool = False


def nat_rules(read: Reader, begin: Callable[[], None], *, no: bool) -> list[Rule]:
    """Take a `nat` or `rdr` line; a `no` before it has been taken."""
    kind = read.take().kind
    translate_pass, log = _pass_and_log(read)
    on = interfaces(read)
    of_family = family(read)
    lists = Lists(on, protocols(read), from_to(read))
    tag = read.string() if read.accept("tag") else ""
    mark, mark_not = tagged(read)
    target = _target(read)
    begin()
    if no and translate_pass:
        read.refuse('"pass" not valid with "no"')
    rule = Rule(
        "nat" if kind == "nat" else "rdr",
        f"no {kind}" if no else kind,
        translate_pass=translate_pass,
        log=log,
        family=of_family or _first_family(lists.ends),
        tag=tag,
        tagged=mark,
        tagged_not=mark_not,
    )
    if no:
        if target is not None:
            read.refuse("translation rule with 'no' does not need '->'")
        return expand(read, rule, lists)
    if target is None:
        read.refuse("translation rule requires '-> address'")
    return expand(read, _with_pool(read, rule, target, lists.ends.destination_ports), lists)


def _first_family(ends: FromTo) -> int:
    firsts = [addresses[0].family for addresses in (ends.sources, ends.destinations) if addresses]
    return next((number for number in firsts if number), 0)


def _pass_and_log(read: Reader) -> tuple[bool, str]:
    translate_pass = read.accept("pass")
    log = log_and_quick(read)[0] if read.at("log") else ""
    return translate_pass, log


def _target(read: Reader) -> _Target | None:
    """Take `-> address [port] [options]`, if it stands here."""
    if not read.accept("->"):
        return None
    target = _Target(read.one_or_braced(lambda: one_host(read)))
    if read.accept("port"):
        _target_ports(read, target)
    while read.at("round-robin", "static-port", "sticky-address"):
        word = read.take().kind
        if word == "round-robin":
            if target.method:
                read.refuse("pool type cannot be redefined")
            target.method = word
        elif word == "static-port":
            target.static_port = True
        else:
            target.sticky = True
    return target


def _target_ports(read: Reader, target: _Target) -> None:
    text = read.expect(STRING, NUMBER)
    if text.endswith(":*"):
        target.low, target.star = port_number(read, text[:-2]), True
    else:
        target.low, target.high = port_range(read, text)


def _with_pool(read: Reader, rule: Rule, target: _Target, ports: list[Port]) -> Rule:
    rule = replace(rule, family=rule.family or next((one.family for one in target.addresses if one.family), 0))
    addresses = [one for one in target.addresses if not (one.family and rule.family) or one.family == rule.family]
    if not addresses:
        read.refuse("no translation address with matching address family found.")
    several = len(addresses) > 1 or addresses[0].kind == "table" or addresses[0].several
    low, high = target.low or 0, target.high or 0
    if rule.kind == "nat":
        if target.static_port and low:
            read.refuse("the 'static-port' option can't be used when specifying a port range")
        low, high = (low, high or low) if low else NAT_PORTS
        low, high = (0, 0) if target.static_port else (low, high)
    elif target.static_port:
        read.refuse("the 'static-port' option is only valid with nat rules")
    elif target.star and ports:
        high = low + max(0, ports[0].high - ports[0].low)
    method = target.method or ("round-robin" if several else "")
    return replace(rule, pool=Pool(tuple(addresses), low, high, method, target.static_port, target.sticky))


def binat_rules(read: Reader, begin: Callable[[], None], *, no: bool) -> list[Rule]:
    """Take a `binat` line; a `no` before it has been taken."""
    read.expect("binat")
    translate_pass, log = _pass_and_log(read)
    on = interfaces(read)
    of_family = family(read)
    protocol = protocols(read)
    read.expect("from")
    sources = hosts(read)
    destinations = hosts(read) if read.accept("to") else []
    tag = read.string() if read.accept("tag") else ""
    mark, mark_not = tagged(read)
    target = one_host(read) if read.accept("->") else None
    begin()
    families = [one.family for one in (*sources, *destinations, *(target or [])) if one.family]
    of_family = of_family or next(iter(families), 0)
    _check_binat(read, of_family, sources, destinations)
    _check_binat_target(read, sources, target, no=no)
    if no and translate_pass:
        read.refuse('"pass" not valid with "no"')
    return [
        Rule(
            "binat",
            "no binat" if no else "binat",
            translate_pass=translate_pass,
            log=log,
            interface=on[0][0] if on else "",
            interface_not=on[0][1] if on else False,
            family=of_family,
            protocol=protocol[0] if protocol else 0,
            source=sources[0] if sources else ANY,
            destination=destinations[0] if destinations else ANY,
            tag=tag,
            tagged=mark,
            tagged_not=mark_not,
            pool=Pool(tuple(target or [])),
        )
    ]


def _check_binat(read: Reader, of_family: int, sources: list[Address], destinations: list[Address]) -> None:
    if not of_family:
        read.refuse("address family (inet/inet6) undefined")
    for one in sources:
        if one.kind == "table":
            read.refuse(f"invalid use of table <{one.text}> as the source address of a binat rule")
    if len(sources) > 1 or len(destinations) > 1:
        read.refuse("multiple binat ip addresses")
    if any(one.family not in {0, of_family} for one in (*sources, *destinations)):
        read.refuse("binat ip versions must match")


def _check_binat_target(read: Reader, sources: list[Address], target: list[Address] | None, *, no: bool) -> None:
    if no and target is not None:
        read.refuse("'no binat' rule does not need '->'")
    if no:
        return
    if target is None:
        read.refuse("'binat' rule requires '-> address'")
    if len(target) > 1:
        read.refuse("binat rule must redirect to a single address")
    lengths = {one.text.partition("/")[2] for one in (*sources, *target) if one.kind == "net"}
    if len(lengths) > 1:
        read.refuse("'binat' source mask and redirect mask must be the same")


def nat_anchor_rules(read: Reader, begin: Callable[[], None]) -> list[Rule]:
    """Take a `nat-anchor`, `rdr-anchor` or `binat-anchor` line."""
    word = read.take().kind
    name = read.string()
    on = interfaces(read)
    of_family = family(read)
    lists = Lists(on, protocols(read), from_to(read))
    begin()
    ends = lists.ends
    if word == "rdr-anchor" and ends.source_ports:
        read.refuse("source port parameter not supported in rdr-anchor")
    if word == "rdr-anchor" and len(ends.destination_ports) > 1:
        read.refuse("destination port list expansion not supported in rdr-anchor")
    if word == "rdr-anchor" and any(port.operator != "=" for port in ends.destination_ports):
        read.refuse("destination port operators not supported in rdr-anchor")
    if word == "binat-anchor" and ends != FromTo():
        read.refuse("fromto parameter not supported in binat-anchor")
    kind: RuleKind = "nat" if word == "nat-anchor" else "rdr" if word == "rdr-anchor" else "binat"
    return expand(read, Rule(kind, kind, anchor=name, family=of_family), lists)
