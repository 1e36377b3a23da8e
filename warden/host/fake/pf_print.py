# SPDX-License-Identifier: BSD-2-Clause
"""The text of pf's rules, as `pfctl -sr`, `-sn` and `-nvf` print them (sessions 04, 09, 14)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from warden.host.fake.pf_names import TCP, icmp_text, protocol_name, service_name

if TYPE_CHECKING:
    from collections.abc import Callable

    from warden.host.fake.pf_rules import Address, EtherRule, Pool, Port, Rule

    Count = Callable[[Address], int | None]

NAT_PORTS = (50001, 65535)
"""The ports that nat uses where a rule names none."""


def rule_text(rule: Rule, *, numeric: bool = False, count: Count | None = None) -> str:
    """Give a rule's text.

    `numeric` leaves ports as numbers (-P). With `count` (-vv) tables and dynamic addresses carry the number of
    addresses that they stand for now, `*` where it gives None.
    """
    parts = [_head(rule)]
    if rule.direction:
        parts.append(f" {rule.direction}")
    parts.append(rule.log and f" {rule.log}")
    if rule.quick:
        parts.append(" quick")
    parts.append(_interface(rule.interface, negated=rule.interface_not))
    if rule.family:
        parts.append(" inet" if rule.family == 4 else " inet6")
    if rule.protocol:
        parts.append(f" proto {protocol_name(rule.protocol)}")
    parts.append(_from_to(rule, numeric=numeric, count=count))
    parts.append(_flags(rule))
    if rule.icmp_type is not None:
        parts.append(icmp_text(rule.icmp_type, rule.icmp_code, rule.family))
    parts.append(_state(rule))
    parts.append(_options(rule))
    if not rule.anchor and rule.action in {"nat", "rdr", "binat"}:
        parts.append(f" -> {_pool(rule, rule.pool)}")
    return "".join(parts)


def ether_text(rule: EtherRule) -> str:
    """Give the text of a rule for Ethernet frames."""
    text = f"ether {rule.action}"
    if rule.direction:
        text += f" {rule.direction}"
    if rule.quick:
        text += " quick"
    text += _interface(rule.interface, negated=rule.interface_not)
    if rule.protocol:
        text += f" proto 0x{rule.protocol:04x}"
    if rule.source:
        text += f" from {rule.source}"
    if rule.destination:
        text += f" to {rule.destination}"
    text += " l3"
    if rule.ip_source.everything and rule.ip_destination.everything:
        text += " all"
    else:
        text += f" from {address_text(rule.ip_source)} to {address_text(rule.ip_destination)}"
    if rule.tag:
        text += f" tag {rule.tag}"
    return text + _tagged(rule.tagged, negated=rule.tagged_not)


def address_text(address: Address, count: Count | None = None) -> str:
    """Give an address's text, its `! ` included."""
    text = address.text
    counted = "" if count is None else _counted(count(address)) if address.kind in {"table", "dynamic"} else ""
    if address.everything:
        text = "any"
    elif address.kind == "dynamic":
        text = f"({text}{counted})" + ("" if address.prefix is None else f"/{address.prefix}")
    elif address.kind == "table":
        text = f"<{text}{counted}>"
    elif address.kind in {"no-route", "urpf-failed"}:
        text = address.kind
    return f"! {text}" if address.negated else text


def _counted(number: int | None) -> str:
    return ":*" if number is None else f":{number}"


def _head(rule: Rule) -> str:
    if rule.anchor:
        prefix = "" if rule.kind in {"filter", "scrub"} else f"{rule.kind}-"
        return f'{prefix}anchor "{rule.anchor}"'
    head = rule.action
    if rule.translate_pass:
        head += " pass"
    if rule.action != "block":
        return head
    if rule.answer == "return-rst" and rule.ttl:
        return f"{head} return-rst(ttl {rule.ttl})"
    if rule.answer == "return-icmp":
        codes = {0: "(port-unr, port-unr)", 4: "(port-unr)", 6: "6(port-unr)"}
        return f"{head} return-icmp{codes[rule.family]}"
    return f"{head} {rule.answer}"


def _interface(name: str, *, negated: bool) -> str:
    if not name:
        return ""
    return f" on ! {name}" if negated else f" on {name}"


def _from_to(rule: Rule, *, numeric: bool, count: Count | None) -> str:
    source, destination = rule.source, rule.destination
    bare = not (source.negated or destination.negated or rule.source_port or rule.destination_port)
    if bare and source.everything and destination.everything:
        return " all"
    protocol = 0 if numeric else rule.protocol or -1
    return (
        f" from {address_text(source, count)}{_port(rule.source_port, protocol)}"
        f" to {address_text(destination, count)}{_port(rule.destination_port, protocol)}"
    )


def _port(port: Port | None, protocol: int) -> str:
    if port is None:
        return ""
    if port.operator == ":":
        return f" port {port.low}:{port.high}"
    if port.operator in {"><", "<>"}:
        return f" port {port.low} {port.operator} {port.high}"
    named = protocol and port.operator in {"=", "!="} and service_name(port.low, protocol)
    return f" port {port.operator} {named or port.low}"


def _flags(rule: Rule) -> str:
    if rule.flags or rule.flag_set:
        return f" flags {rule.flags}/{rule.flag_set}"
    stateful = rule.action == "pass" and rule.state and not rule.anchor
    if stateful and not rule.fragment and rule.protocol in {0, TCP}:
        return " flags any"
    return ""


def _state(rule: Rule) -> str:
    if rule.state:
        options = f" ({', '.join(rule.state_options)})" if rule.state_options else ""
        return f" {rule.state} state{options}"
    return " no state" if rule.action == "pass" and not rule.anchor else ""


def _options(rule: Rule) -> str:
    text = " fragment" if rule.fragment else ""
    text += rule.scrub_options
    if rule.allow_options:
        text += " allow-opts"
    if rule.action == "scrub" and not rule.anchor:
        text += " fragment reassemble"
    text += "".join(f' label "{label}"' for label in rule.labels)
    if rule.tag:
        text += f" tag {rule.tag}"
    return text + _tagged(rule.tagged, negated=rule.tagged_not)


def _tagged(name: str, *, negated: bool) -> str:
    if not name:
        return ""
    return f" ! tagged {name}" if negated else f" tagged {name}"


def _pool(rule: Rule, pool: Pool) -> str:
    addresses = [address_text(address) for address in pool.addresses]
    text = addresses[0] if len(addresses) == 1 else f"{{ {', '.join(addresses)} }}"
    if rule.kind == "nat" and not pool.static_port and (pool.low, pool.high) not in {NAT_PORTS, (0, 0)}:
        text += f" port {pool.low}" if pool.low == pool.high else f" port {pool.low}:{pool.high}"
    elif rule.kind == "rdr" and pool.low:
        text += f" port {pool.low}" + (f":{pool.high}" if pool.high and pool.high != pool.low else "")
    if pool.method:
        text += f" {pool.method}"
    if pool.sticky:
        text += " sticky-address"
    return text + (" static-port" if pool.static_port else "")
