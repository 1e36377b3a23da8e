# SPDX-License-Identifier: BSD-2-Clause
"""From one line of pf.conf to the rules that it stands for, and the checks that pfctl makes of each."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from itertools import product
from typing import TYPE_CHECKING

from warden.host.fake.pf_names import ICMP, ICMP6, TCP, WITH_PORTS, protocol_name
from warden.host.fake.pf_rules import ANY, Address, Rule

if TYPE_CHECKING:
    from warden.host.fake.pf_clauses import FromTo
    from warden.host.fake.pf_reader import Reader
    from warden.host.fake.pf_rules import Port


@dataclass(slots=True)
class Lists:
    """What a line gives lists of; every combination of their items becomes a rule."""

    interfaces: list[tuple[str, bool]]
    protocols: list[int]
    ends: FromTo
    icmp: list[tuple[int, int | None, int]] = field(default_factory=list)


def expand(read: Reader, rule: Rule, lists: Lists) -> list[Rule]:
    """Give the rules that a line stands for; those that make no sense are complained of and left out."""
    ends = lists.ends
    rules: list[Rule] = []
    no_icmp: list[tuple[int, int | None, int] | None] = [None]
    no_port: list[Port | None] = [None]
    combinations = product(
        lists.interfaces or [("", False)],
        lists.protocols or [0],
        lists.icmp or no_icmp,
        ends.sources or [ANY],
        ends.source_ports or no_port,
        ends.destinations or [ANY],
        ends.destination_ports or no_port,
    )
    for interface, protocol, icmp, source, source_port, destination, destination_port in combinations:
        family = _family(rule.family, source, destination)
        if family is None or not _same_link(interface[0], source, destination):
            continue
        one = replace(
            rule,
            interface=interface[0] or source.scope or destination.scope,
            interface_not=interface[1],
            family=family,
            protocol=protocol,
            source=source,
            source_port=source_port,
            destination=destination,
            destination_port=destination_port,
        )
        if icmp is not None:
            one = replace(one, icmp_type=icmp[0], icmp_code=icmp[1])
            if protocol != (ICMP6 if icmp[2] == 6 else ICMP):
                read.complain("icmp-type mismatch")
                read.complain("skipping rule due to errors")
                continue
        if protocol not in {0, TCP}:
            state = "keep" if one.state in {"modulate", "synproxy"} else one.state
            one = replace(one, flags="", flag_set="", state=state)
        problems = _problems(one)
        for problem in problems:
            read.complain(problem)
        if problems:
            read.complain("skipping rule due to errors")
        else:
            rules.append(one)
    if not rules:
        read.complain("rule expands to no valid combination")
    return rules


def _family(family: int, source: Address, destination: Address) -> int | None:
    """Give the family of one combination, None for one that mixes them."""
    named = {number for number in (family, source.family, destination.family) if number}
    if len(named) > 1:
        return None
    return named.pop() if named else 0


def _same_link(interface: str, source: Address, destination: Address) -> bool:
    return len({name for name in (interface, source.scope, destination.scope) if name}) <= 1 or not (
        source.scope or destination.scope
    )


def _problems(rule: Rule) -> list[str]:
    if rule.kind == "rdr":
        return _redirect_problems(rule)
    return _filter_problems(rule) if rule.kind in {"filter", "scrub"} else []


def _filter_problems(rule: Rule) -> list[str]:
    has_port = rule.source_port is not None or rule.destination_port is not None
    has_icmp = rule.icmp_type is not None
    family = {4: "inet", 6: "inet6"}.get(rule.family, "")
    options = {option.partition(" ")[0] for option in rule.state_options}
    checks = {
        "port only applies to tcp/udp/sctp": has_port and rule.protocol not in WITH_PORTS,
        "icmp-type/code only applies to icmp": has_icmp and rule.protocol not in {ICMP, ICMP6},
        "must indicate address family with icmp-type/code": has_icmp and not rule.family,
        "'overload' requires 'max-src-conn' or 'max-src-conn-rate'": "overload" in options
        and not options & {"max-src-conn", "max-src-conn-rate"},
        f"proto {protocol_name(rule.protocol).replace('ipv6-icmp', 'icmp6')} doesn't match address family {family}": (
            rule.protocol,
            rule.family,
        )
        in {(ICMP, 6), (ICMP6, 4)},
        "allow-opts can only be specified for pass rules": rule.allow_options and rule.action != "pass",
        "fragments can be filtered only on IP header fields": rule.fragment
        and (has_port or has_icmp or bool(rule.flag_set)),
        "return-rst can only be applied to TCP rules": rule.answer == "return-rst" and rule.protocol != TCP,
        "keep state is great, but only for pass rules": rule.action != "pass" and bool(rule.state),
        "sloppy state matching cannot be used with synproxy state or modulate state": "sloppy" in options
        and rule.state in {"modulate", "synproxy"},
    }
    return [text for text, holds in checks.items() if holds]


def _redirect_problems(rule: Rule) -> list[str]:
    problems: list[str] = []
    if rule.protocol not in WITH_PORTS:
        ports = {"src": rule.source_port, "dst": rule.destination_port, "rpool": rule.pool.low}
        problems += [f"{name} port only applies to tcp/udp/sctp" for name, port in ports.items() if port]
    if rule.destination_port is not None and rule.destination_port.operator not in {"=", ":"}:
        problems.append("invalid port operator for rdr destination port")
    return problems


def fill_labels(rule: Rule, number: int) -> Rule:
    """Put what stands for a rule's own parts into its labels and tags: `$if`, `$srcaddr`, `$nr` and so on."""
    if not any("$" in text for text in (*rule.labels, rule.tag, rule.tagged)):
        return rule
    values = {
        "$if": rule.interface or "any",
        "$srcaddr": _label_address(rule.source),
        "$dstaddr": _label_address(rule.destination),
        "$srcport": _label_port(rule.source_port),
        "$dstport": _label_port(rule.destination_port),
        "$proto": protocol_name(rule.protocol),
        "$nr": str(number),
    }

    def fill(text: str) -> str:
        for name, value in values.items():
            text = text.replace(name, value)
        return text

    return replace(
        rule, labels=tuple(fill(label) for label in rule.labels), tag=fill(rule.tag), tagged=fill(rule.tagged)
    )


def _label_address(address: Address) -> str:
    if address.everything:
        return "any"
    if address.kind == "dynamic":
        text = f"({address.text.partition(':')[0]})"
    elif address.kind == "table":
        text = f"<{address.text}>"
    else:
        text = address.text or address.kind
    return f"! {text}" if address.negated else text


def _label_port(port: Port | None) -> str:
    if port is None or port.operator == ":":
        return ""
    if port.operator in {"><", "<>"}:
        return f"{port.low}{port.operator}{port.high}"
    return str(port.low) if port.operator == "=" else f"{port.operator}{port.low}"
